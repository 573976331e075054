import { createRequire } from "node:module";
import { type DestinationStream, type Logger, pino } from "pino";
import type * as PinoPretty from "pino-pretty";

export type { Logger } from "pino";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
export type LogFormat = "auto" | "json" | "pretty";

export interface LoggerOptions {
  readonly level?: LogLevel;
  /** "auto" is pretty when standard error is a terminal, json elsewhere. */
  readonly format?: LogFormat;
  /** Bound as `service`. */
  readonly name?: string;
  /** Bound as `node`: whose line it is. `nodeId` among a line's fields is the node that it is about. */
  readonly nodeId?: number;
  /** Where the lines go instead of standard error: for tests and embedding programs. */
  readonly destination?: DestinationStream;
}

/** Fields that never reach the log, at the top of a line or one level below it. */
const SECRET_FIELDS = [
  "secret",
  "password",
  "token",
  "authorization",
  "apiKey",
  "privateKey",
  "clusterSecret",
];

const STANDARD_ERROR = 2;
/**
 * What may wait in memory for a slow reader of the log; beyond it lines are dropped rather than memory
 * filled.
 */
const MAX_WAITING_CHARACTERS = 16 * 2 ** 20;

function standardErrorLines(): DestinationStream {
  // Asynchronous, so that a stuck reader of the pipe cannot stall the event loop. pino writes what is left
  // before the process exits, and at once for `fatal`.
  return pino.destination({ dest: STANDARD_ERROR, sync: false, maxLength: MAX_WAITING_CHARACTERS });
}

function prettyLines(destination: DestinationStream | undefined): DestinationStream {
  // Loaded here, because most processes log json. Only its formatter is used: pino's transports would start a
  // worker thread, and a stream could lose the last lines when the process exits.
  const load = createRequire(import.meta.url);
  const { prettyFactory } = load("pino-pretty") as typeof PinoPretty;
  const format = prettyFactory({
    colorize: destination === undefined && process.stderr.isTTY,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "service,node",
    messageFormat: ({ service, node, msg }) =>
      `${nameOf(service, node)}${typeof msg === "string" ? msg : ""}`,
  });
  const target = destination ?? pino.destination({ dest: STANDARD_ERROR, sync: true });
  return { write: (line) => target.write(format(line)) };
}

/** Whose line it is, for people; empty for what concerns the whole process. */
function nameOf(service: unknown, node: unknown): string {
  if (typeof service !== "string") return "";
  return typeof node === "number" ? `${service} ${node}: ` : `${service}: `;
}

/**
 * A pino logger. Lines go to standard error: standard output belongs to what a command prints for its user.
 * Levels: `error` someone must act, `warn` may need someone, `info` a change of state, `debug` the rest.
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const { format = "auto", destination } = options;
  const onTerminal = destination === undefined && process.stderr.isTTY;
  const pretty = format === "pretty" || (format === "auto" && onTerminal);
  const stream = pretty ? prettyLines(destination) : (destination ?? standardErrorLines());
  const base: Record<string, string | number> = {};
  if (options.name !== undefined) base["service"] = options.name;
  if (options.nodeId !== undefined) base["node"] = options.nodeId;
  return pino(
    {
      level: options.level ?? "info",
      base,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: "(secret)" },
    },
    stream,
  );
}

/** Logs nothing. */
export const nullLogger: Logger = pino({ level: "silent" }, { write: () => undefined });
