import type { CliEnvironment } from "../environment.ts";
import type { OutputFormat } from "../options.ts";

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | bigint | boolean)[])[];
}

/** What is shown with what a gateway could not compare with the metadata store. */
export const UNCONFIRMED =
  "UNCONFIRMED: the metadata store does not answer; nodes, leaders and replicas are as they were known last";

/** Prints a result the way `--output` asks: as a table for people, or whole as JSON or YAML for programs. */
export async function print(
  environment: CliEnvironment,
  format: OutputFormat,
  value: unknown,
  table: () => string,
): Promise<void> {
  environment.stdout.write(await render(format, value, table));
}

async function render(format: OutputFormat, value: unknown, table: () => string): Promise<string> {
  if (format === "json") return `${JSON.stringify(plain(value), null, 2)}\n`;
  if (format === "yaml") return (await import("yaml")).stringify(plain(value));
  return table();
}

/** Offsets are bigint; as JSON they are numbers: they stay far below 2^53. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, each: unknown) => (typeof each === "bigint" ? Number(each) : each)),
  );
}

/** Columns side by side; those with nothing but numbers end at the right. */
export function renderTable({ columns, rows }: Table): string {
  const texts = rows.map((row) => row.map(String));
  const widths = columns.map((name, column) =>
    Math.max(name.length, ...texts.map((row) => (row[column] ?? "").length)),
  );
  const isNumeric = columns.map((_, column) => rows.every((row) => typeof row[column] !== "string"));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return isNumeric[column] === true && rows.length > 0 ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return `${[line(columns.map((name) => name.toUpperCase())), ...texts.map(line)].join("\n")}\n`;
}
