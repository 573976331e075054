/** What a log tells about its work; all methods are called on the hot path and must be cheap. */
export interface LogMetrics {
  observeWrite(durationMs: number, batchCount: number, sizeBytes: number): void;
  observeSync(durationMs: number): void;
  /** Batches that one sync made durable. */
  observeSyncedBatches(batchCount: number): void;
  countTailCacheHit(): void;
  countTailCacheMiss(): void;
  countCorruptRead(): void;
}
