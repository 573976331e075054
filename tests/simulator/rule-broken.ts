/** A rule that does not hold, by its number in the design where it has one. */
export class RuleBroken extends Error {
  override readonly name = "RuleBroken";
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(`${rule}: ${message}`);
    this.rule = rule;
  }
}

export function broken(rule: string, message: string): never {
  throw new RuleBroken(rule, message);
}
