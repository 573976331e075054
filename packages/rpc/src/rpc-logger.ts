/** What this package needs of a logger; pino's satisfies it. */
export interface RpcLogger {
  error(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  debug(facts: object, message: string): void;
}
