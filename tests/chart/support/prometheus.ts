import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface PrometheusOptions {
  readonly directory: string;
  /** host:port of what is scraped. */
  readonly targets: readonly string[];
  readonly address: string;
}

/** A real Prometheus that scrapes every second. */
export class Prometheus {
  readonly #process: ChildProcess;
  readonly #address: string;
  readonly #targetCount: number;

  private constructor(process: ChildProcess, options: PrometheusOptions) {
    this.#process = process;
    this.#address = options.address;
    this.#targetCount = options.targets.length;
  }

  static async start(options: PrometheusOptions): Promise<Prometheus> {
    const { directory, targets, address } = options;
    await mkdir(directory, { recursive: true });
    const config = join(directory, "prometheus.json");
    // JSON is YAML.
    const scrape = { job_name: "ottla", static_configs: [{ targets }] };
    const global = { scrape_interval: "1s", scrape_timeout: "1s" };
    await writeFile(config, JSON.stringify({ global, scrape_configs: [scrape] }));
    const storage = `--storage.tsdb.path=${join(directory, "data")}`;
    const flags = [`--config.file=${config}`, storage, `--web.listen-address=${address}`];
    const child = spawn("prometheus", [...flags, "--log.level=error"], { stdio: "ignore" });
    return new Prometheus(child, options);
  }

  /** Resolves when every target was scraped so often. */
  async untilScraped(times: number): Promise<void> {
    const everywhere = `count(count_over_time(up[10m]) >= ${times} and up == 1)`;
    while (Number((await this.query(everywhere))[0]) !== this.#targetCount) {
      if (this.#process.exitCode !== null) throw new Error("prometheus has ended");
      await new Promise((resume) => setTimeout(resume, 200));
    }
  }

  /** The values of an instant query; throws what Prometheus says of a wrong one. */
  async query(expression: string): Promise<readonly string[]> {
    const url = `http://${this.#address}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const answer = await fetch(url).catch(() => undefined);
    // It answers 503 until it is ready.
    if (answer === undefined || answer.status === 503) return [];
    const body = (await answer.json()) as {
      readonly error?: string;
      readonly data?: { readonly result: readonly { readonly value: readonly [number, string] }[] };
    };
    if (body.error !== undefined) throw new Error(`${expression}: ${body.error}`);
    return (body.data?.result ?? []).map(({ value }) => value[1]);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }
}
