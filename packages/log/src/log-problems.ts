/** Something wrong with a log's files. */
export interface LogProblem {
  /** `error`: records or facts are lost or damaged. `warning`: the next start repairs it. */
  readonly severity: "error" | "warning";
  readonly file: string;
  /** In the file. */
  readonly position?: number;
  readonly offset?: number;
  readonly problem: string;
}

/** Collects problems, within a limit: a ruined file must not fill the memory with complaints. */
export class LogProblems {
  readonly #maxKept: number;
  readonly #kept: LogProblem[] = [];
  #errorCount = 0;
  #warningCount = 0;

  constructor(maxKept = 1000) {
    this.#maxKept = maxKept;
  }

  get kept(): readonly LogProblem[] {
    return this.#kept;
  }

  get errorCount(): number {
    return this.#errorCount;
  }

  get warningCount(): number {
    return this.#warningCount;
  }

  add(problem: LogProblem): void {
    if (problem.severity === "error") this.#errorCount += 1;
    else this.#warningCount += 1;
    if (this.#kept.length < this.#maxKept) this.#kept.push(problem);
  }
}
