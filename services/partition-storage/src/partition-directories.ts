import type { LogConfig, SegmentedLog } from "@ottla/log";

export interface OpenPartitionOptions {
  readonly topicId: string;
  readonly partition: number;
  readonly config: LogConfig;
  /** After a failed log: nothing from this offset on is proven to be on disk. */
  readonly cutFrom: number | undefined;
}

/** The partitions' places on disk. */
export interface PartitionDirectories {
  openLog(options: OpenPartitionOptions): Promise<SegmentedLog>;
  /** What lies there now, for comparison with the metadata. */
  list(): Promise<readonly { readonly topicId: string; readonly partition: number }[]>;
  remove(topicId: string, partition: number): Promise<void>;
  setAside(topicId: string, partition: number, reason: string): Promise<void>;
}
