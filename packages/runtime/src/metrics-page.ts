import type { Clock } from "./clock.ts";
import type { MetricsRegistry } from "./metrics.ts";

/** One family of gauges, as Prometheus has it: a name, and a series for each set of labels. */
interface GaugeFamily {
  readonly name: string;
  readonly help: string;
}

/**
 * Families of gauges with so many series that keeping them between scrapes, or making the text of all of
 * them in one turn of the event loop, would hold up everybody else. They are sampled for each page.
 */
export interface SampledGauges {
  readonly families: readonly GaugeFamily[];
  /** Adds what is true now, and rests between pieces of the work. If it throws, the families stay empty. */
  collect(samples: GaugeSamples): Promise<void>;
}

/** What one collection adds. */
export interface GaugeSamples {
  /** `labels` as `labelText` makes them. Throws for a family that was not named. */
  add(family: string, labels: string, value: number): void;
  /** To be awaited between small pieces of work: lets all else have its turn when it is time. */
  rest(): Promise<void> | undefined;
}

/** So long a page works before all else gets its turn. */
const SLICE_MS = 3;
/** Lines become bytes when there are so many characters of them. */
const CHUNK_CHARACTERS = 32 * 1024;

/** The labels of a series in Prometheus' text format, without the braces. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  let text = "";
  for (const name in labels) text += `${text === "" ? "" : ","}${name}="${escaped(labels[name] ?? "")}"`;
  return text;
}

function escaped(value: string): string {
  if (!/[\\\n"]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

/** All metrics in Prometheus' text format, made in slices that leave the event loop to others. */
export async function metricsPage(registry: MetricsRegistry, clock: Clock): Promise<Uint8Array> {
  const slices = new Slices(clock);
  // Collections mostly wait for others: all begin at once.
  const sampled = registry.sampledGauges.map(async (gauges) => {
    const samples = new PageSamples(gauges.families, slices);
    await gauges.collect(samples).then(
      () => samples.finish(),
      () => samples.clear(),
    );
    return samples.chunks;
  });
  const chunks: Uint8Array[] = [];
  for (const { name } of registry.getMetricsAsArray()) {
    chunks.push(Buffer.from(`${await registry.getSingleMetricAsString(name)}\n\n`));
    await slices.rest();
  }
  return Buffer.concat([...chunks, ...(await Promise.all(sampled)).flat()]);
}

/** The turns of one page, shared by all that work for it. */
class Slices {
  readonly #clock: Clock;
  #startMs: number;
  #turn: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMs = clock.monotonic();
  }

  rest(): Promise<void> | undefined {
    if (this.#turn !== undefined) return this.#turn;
    if (this.#clock.monotonic() - this.#startMs < SLICE_MS) return undefined;
    this.#turn = new Promise((resolve) => {
      this.#clock.nextTurn(() => {
        this.#turn = undefined;
        this.#startMs = this.#clock.monotonic();
        resolve();
      });
    });
    return this.#turn;
  }
}

class PageSamples implements GaugeSamples {
  readonly #families: ReadonlyMap<string, FamilyText>;
  readonly #slices: Slices;

  constructor(families: readonly GaugeFamily[], slices: Slices) {
    this.#families = new Map(families.map((family) => [family.name, new FamilyText(family)]));
    this.#slices = slices;
  }

  get chunks(): Uint8Array[] {
    return [...this.#families.values()].flatMap(({ chunks }) => chunks);
  }

  add(name: string, labels: string, value: number): void {
    const family = this.#families.get(name);
    if (family === undefined) throw new TypeError(`${name} is none of the families that are collected here`);
    family.add(labels, value);
  }

  rest(): Promise<void> | undefined {
    return this.#slices.rest();
  }

  finish(): void {
    for (const family of this.#families.values()) family.finish();
  }

  clear(): void {
    for (const family of this.#families.values()) family.clear();
  }
}

/** Prometheus wants all lines of a family together. */
class FamilyText {
  readonly chunks: Uint8Array[] = [];
  readonly #family: GaugeFamily;
  #lines: string;

  constructor(family: GaugeFamily) {
    this.#family = family;
    this.#lines = headOf(family);
  }

  add(labels: string, value: number): void {
    this.#lines += `${this.#family.name}{${labels}} ${valueText(value)}\n`;
    if (this.#lines.length >= CHUNK_CHARACTERS) this.#cut();
  }

  finish(): void {
    this.#lines += "\n";
    this.#cut();
  }

  clear(): void {
    this.chunks.length = 0;
    this.#lines = headOf(this.#family);
    this.finish();
  }

  #cut(): void {
    this.chunks.push(Buffer.from(this.#lines));
    this.#lines = "";
  }
}

function headOf({ name, help }: GaugeFamily): string {
  const text = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${name} ${text}\n# TYPE ${name} gauge\n`;
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? "+Inf" : "-Inf";
}
