/** All randomness in Ottla comes through this interface, so that a simulated run follows from one seed. */
export interface Random {
  /** A number in [0, 1). */
  float(): number;
  /** An integer in [0, limit). */
  integer(limit: number): number;
  bytes(length: number): Uint8Array;
  /** A random (version 4) UUID in its lower-case text form. */
  uuid(): string;
}
