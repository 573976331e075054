import { OttlaError } from "@ottla/errors";
import type { AppendEntry } from "@ottla/proto/ottla/internal/v1/storage";
import {
  type Arbitrary,
  array,
  assert,
  asyncProperty,
  boolean,
  constant,
  constantFrom,
  integer,
  oneof,
  record,
} from "fast-check";
import { expect, test } from "vitest";
import { refused, type ScriptedNode, setUp } from "./test-router.ts";

interface Stored {
  readonly text: string;
  readonly producer: string;
  readonly sequence: number;
}

/** What a leader does with the next append that reaches it. */
type Answer = "store" | "refuse" | "store and stay silent" | "swallow" | "break" | "store and break";

type Step =
  | { readonly kind: "append"; readonly producer: "p" | "q" | "none" }
  | { readonly kind: "answers"; readonly answers: readonly Answer[] }
  /** The new leader has what was committed, and this share of the rest. */
  | { readonly kind: "elect"; readonly keepsPercent: number; readonly isGap: boolean }
  | { readonly kind: "time"; readonly ms: number };

/**
 * One partition whose leader moves between two nodes. A leader commits what it answers; what it has not
 * answered may be lost with it, from the end, as replication does it (R8).
 */
class ModelPartition {
  log: Stored[] = [];
  committedCount = 0;
  answers: Answer[] = [];
  leader = 1;
  epoch = 5;

  onAppend(nodeId: number, entry: AppendEntry, text: string): object | "silent" | "break" {
    if (nodeId !== this.leader || entry.leaderEpoch !== this.epoch) return refused("NOT_LEADER_OR_FOLLOWER");
    const answer = this.answers.shift() ?? "store";
    if (answer === "refuse") return refused("NOT_ENOUGH_REPLICAS");
    if (answer === "swallow") return "silent";
    if (answer === "break") return "break";
    const [producer = "", number = "0"] = text.split(":");
    const sequence = Number(number);
    let offset = this.log.findIndex((stored) => stored.text === text);
    if (offset < 0) {
      const last = this.log.findLast((stored) => stored.producer === producer)?.sequence ?? -1;
      if (producer !== "none" && sequence !== last + 1) return refused("OUT_OF_ORDER_SEQUENCE_NUMBER", {});
      offset = this.log.push({ text, producer, sequence }) - 1;
    }
    if (answer === "store and stay silent") return "silent";
    if (answer === "store and break") return "break";
    this.committedCount = Math.max(this.committedCount, offset + 1);
    return { baseOffset: BigInt(offset) };
  }

  /** Ends the leader's term. */
  lose(keepsPercent: number): void {
    const open = this.log.length - this.committedCount;
    this.log.length = this.committedCount + Math.floor((open * keepsPercent) / 100);
    this.leader = 3 - this.leader;
    this.epoch += 1;
  }
}

const step: Arbitrary<Step> = oneof(
  {
    weight: 5,
    arbitrary: record({
      kind: constant("append" as const),
      producer: constantFrom("p" as const, "p" as const, "q" as const, "none" as const),
    }),
  },
  {
    weight: 2,
    arbitrary: record({
      kind: constant("answers" as const),
      answers: array(
        constantFrom<Answer>(
          "store",
          "refuse",
          "store and stay silent",
          "swallow",
          "break",
          "store and break",
        ),
        { maxLength: 4 },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: record({
      kind: constant("elect" as const),
      keepsPercent: integer({ min: 0, max: 100 }),
      isGap: boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: record({ kind: constant("time" as const), ms: integer({ min: 0, max: 150 }) }),
  },
);

/** Carries the steps out; resolves with the outcomes of the appends by their texts, in the order of calls. */
async function run(
  model: ModelPartition,
  steps: readonly Step[],
): Promise<Map<string, number | OttlaError | undefined>> {
  const { append, clock, elect, state, router, one, two } = setUp();
  const nodes: readonly ScriptedNode[] = [one, two];
  nodes.forEach((node, index) => {
    node.onAppend = (entry, text) => model.onAppend(index + 1, entry, text);
  });
  const outcomes = new Map<string, number | OttlaError | undefined>();
  const sequences = new Map<string, number>();
  const send = (producer: string): void => {
    const sequence = sequences.get(producer) ?? 0;
    sequences.set(producer, sequence + 1);
    const text = `${producer}:${sequence}`;
    outcomes.set(text, undefined);
    append(text, { idempotent: producer !== "none", timeoutMs: 60_000 }).then(
      ({ baseOffset }) => outcomes.set(text, baseOffset),
      (thrown: OttlaError) => outcomes.set(text, thrown),
    );
  };
  const succeed = async (keepsPercent: number, isGap: boolean): Promise<void> => {
    model.lose(keepsPercent);
    if (isGap) {
      state.placement = { leader: -1, leaderEpoch: model.epoch - 1 };
      await clock.advance(30);
    }
    elect(model.leader, model.epoch);
  };
  for (const next of steps) {
    if (next.kind === "append") send(next.producer);
    else if (next.kind === "answers") model.answers = [...next.answers];
    else if (next.kind === "time") await clock.advance(next.ms);
    else await succeed(next.keepsPercent, next.isGap);
  }
  // A last leader that does its work: whatever may be sent again reaches it.
  model.answers = [];
  await succeed(50, false);
  await clock.advance(5_000);
  await router.close();
  return outcomes;
}

/** Whether what the caller was told of a batch is what became of it. */
function isKept(text: string, outcome: number | OttlaError | undefined, texts: readonly string[]): boolean {
  const isRefused = outcome instanceof OttlaError && text.startsWith("none");
  // For an idempotent producer a failover is a pause and never an error (R11).
  if (!isRefused) return outcome !== undefined && outcome === texts.indexOf(text);
  return outcome.metadata["not_appended"] !== "true" || !texts.includes(text);
}

test("over leader changes idempotent batches are stored once and in order, and no others twice", async () => {
  await assert(
    asyncProperty(array(step, { minLength: 3, maxLength: 40 }), async (steps) => {
      const model = new ModelPartition();
      const outcomes = await run(model, steps);
      const texts = model.log.map(({ text }) => text);
      expect(new Set(texts).size).toBe(texts.length);
      const broken = Array.from(outcomes).filter(([text, outcome]) => !isKept(text, outcome, texts));
      expect(broken).toEqual([]);
      for (const producer of ["p", "q", "none"]) {
        const stored = model.log.filter((batch) => batch.producer === producer);
        const inOrder = stored.map(({ sequence }) => sequence);
        expect(inOrder).toEqual(inOrder.toSorted((a, b) => a - b));
      }
    }),
    { numRuns: 500 },
  );
});
