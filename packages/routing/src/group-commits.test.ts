import { OttlaError } from "@ottla/errors";
import type { CommitOffsetsRequest, CommitOffsetsResponse } from "@ottla/proto/ottla/internal/v1/groups";
import { errorToMessage } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { GroupCommits, type GroupCommitsOptions } from "./group-commits.ts";

type Client = GroupCommitsOptions["client"];

const STORED = { errors: [] } as unknown as CommitOffsetsResponse;

/** A group-coordinator that answers when it is told to, and remembers which groups each request was about. */
class Owner {
  readonly together: string[][] = [];
  readonly single: string[] = [];
  readonly #answers: (() => void)[] = [];
  refusal: OttlaError | undefined;
  failure: OttlaError | undefined;

  readonly client = {
    commitOffsets: async ({ groupId }: CommitOffsetsRequest) => {
      this.single.push(groupId);
      return STORED;
    },
    commitOffsetsOfMany: async ({ commits }: { commits: CommitOffsetsRequest[] }) => {
      this.together.push(commits.map(({ groupId }) => groupId));
      if (this.failure !== undefined) throw this.failure;
      await new Promise<void>((resolve) => this.#answers.push(resolve));
      const outcomes = commits.map(() =>
        this.refusal === undefined
          ? { outcome: { case: "response", value: STORED } }
          : { outcome: { case: "error", value: errorToMessage(this.refusal) } },
      );
      return { outcomes };
    },
  } as unknown as Client;

  async answerNext(): Promise<void> {
    while (this.#answers.length === 0) await turn();
    this.#answers.shift()?.();
    await turn();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => systemClock.nextTurn(resolve));
}

function start(): {
  owner: Owner;
  commits: GroupCommits;
  commit: (groupId: string, partition?: number) => Promise<unknown>;
} {
  const owner = new Owner();
  const commits = new GroupCommits({ client: owner.client, clock: systemClock });
  return { owner, commits, commit: (groupId, partition = 0) => commits.add(partition, { groupId }) };
}

test("what comes while two requests of a partition are under way travels together", async () => {
  const { owner, commit } = start();
  const first = [commit("a"), commit("b"), commit("other", 1)];
  await turn();
  expect(owner.together).toEqual([["a", "b"], ["other"]]);
  const second = commit("c");
  await turn();
  const third = [commit("d"), commit("e")];
  await turn();
  expect(owner.together.slice(2)).toEqual([["c"]]);
  await owner.answerNext();
  await turn();
  expect(owner.together.slice(3)).toEqual([["d", "e"]]);
  for (let count = 0; count < 3; count += 1) await owner.answerNext();
  expect(await Promise.all([...first, second, ...third])).toHaveLength(6);
});

test("each commit is refused for itself", async () => {
  const { owner, commit } = start();
  owner.refusal = new OttlaError("ILLEGAL_GENERATION", "too old", { metadata: { outcome: "known" } });
  const expected = { code: "ILLEGAL_GENERATION", metadata: { outcome: "known" } };
  const refused = commit("a");
  // It is looked at only after the answer.
  refused.catch(() => undefined);
  await owner.answerNext();
  await expect(refused).rejects.toMatchObject(expected);
});

test("a request that fails fails all that is in it, and not what waits", async () => {
  const { owner, commit } = start();
  owner.failure = new OttlaError("NETWORK_EXCEPTION", "broken");
  await expect(commit("a")).rejects.toMatchObject({ code: "NETWORK_EXCEPTION" });
  owner.failure = undefined;
  const next = commit("b");
  await owner.answerNext();
  expect(await next).toBe(STORED);
});

test("a node of an older version gets them one by one", async () => {
  const { owner, commit } = start();
  owner.failure = new OttlaError("UNIMPLEMENTED", "what is that?");
  expect(await Promise.all([commit("a"), commit("b")])).toEqual([STORED, STORED]);
  expect(await commit("c")).toBe(STORED);
  expect([owner.together, owner.single]).toEqual([[["a", "b"]], ["a", "b", "c"]]);
});

test("a connection that is given up gives back what was not sent, and takes nothing more", async () => {
  const { owner, commit, commits } = start();
  const waiting = commit("a");
  commits.close();
  await expect(waiting).rejects.toMatchObject({ code: "COORDINATOR_NOT_AVAILABLE" });
  await expect(commit("b")).rejects.toMatchObject({ code: "COORDINATOR_NOT_AVAILABLE" });
  await turn();
  expect(owner.together).toEqual([]);
});

test("whoever gives up waits no more, and what was not sent stays here", async () => {
  const { owner, commits } = start();
  const abort = new AbortController();
  const given = commits.add(0, { groupId: "a" }, abort.signal);
  const kept = commits.add(0, { groupId: "b" });
  abort.abort(new OttlaError("UNAVAILABLE", "the client left"));
  await expect(given).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await owner.answerNext();
  await kept;
  expect(owner.together).toEqual([["b"]]);
});
