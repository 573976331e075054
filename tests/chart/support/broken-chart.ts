import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chartDirectory } from "./helm.ts";

/** A mistake that somebody could make in the chart's templates. */
export interface TemplateBug {
  readonly bug: string;
  /** Below the chart's templates. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A copy of the chart with the mistake in it; resolves with where it is. */
export async function breakChart(directory: string, { file, from, to }: TemplateBug): Promise<string> {
  const chart = join(directory, "ottla");
  await cp(chartDirectory, chart, { recursive: true });
  const path = join(chart, "templates", file);
  const before = await readFile(path, "utf8");
  if (!before.includes(from)) throw new Error(`${file} does not contain ${JSON.stringify(from)}`);
  await writeFile(path, before.replaceAll(from, to));
  return chart;
}
