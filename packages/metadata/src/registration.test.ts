import { nullLogger, VirtualClock } from "@ottla/runtime";
import { beforeEach, describe, expect, it } from "vitest";
import { ensureClusterId } from "./cluster-id.ts";
import { FencedWriter } from "./fenced-writer.ts";
import { keepRegistered } from "./keep-registered.ts";
import { MetadataKeys } from "./keys.ts";
import { ModelServer } from "./model-server.ts";
import { ModelStore } from "./model-store.ts";
import { campaign, registerNode } from "./registration.ts";
import { bytes, text } from "./store-contract-tools.ts";
import type { NodeRegistration } from "./values.ts";

const keys = new MetadataKeys("c");
let clock: VirtualClock;
let server: ModelServer;
let store: ModelStore;

beforeEach(() => {
  clock = new VirtualClock();
  server = new ModelServer({ clock });
  store = client();
});

function client(): ModelStore {
  return new ModelStore({ clock, server });
}

function held(options: { store?: ModelStore; signal?: AbortSignal } = {}) {
  return { store, keys, ttlMs: 3000, clock, logger: nullLogger, ...options };
}

function registration(change: Partial<NodeRegistration> = {}): NodeRegistration {
  return {
    role: "partition-storage",
    nodeId: 1,
    addresses: ["a:1"],
    zone: "",
    version: "0",
    incarnation: "first",
    directoryId: "",
    cleanShutdownNodeEpoch: -1,
    ...change,
  };
}

function candidate(incarnation: string) {
  return { nodeId: 1, address: "a:1", incarnation };
}

describe("registerNode", () => {
  it("gives each registration a new nodeEpoch: the key's create revision", async () => {
    const first = await registerNode({ ...held(), registration: registration() });
    expect((await store.get(keys.node("partition-storage", 1)))?.createRevision).toBe(first.nodeEpoch);
    await first.lease.revoke();
    const second = await registerNode({ ...held(), registration: registration({ incarnation: "second" }) });
    expect(second.nodeEpoch).toBeGreaterThan(first.nodeEpoch);
  });

  it("says who holds the node's id while it waits", async () => {
    const first = await registerNode({ ...held(), registration: registration() });
    const reasons: (string | undefined)[] = [];
    const second = registerNode({
      ...held({ store: client() }),
      registration: registration({ incarnation: "second", addresses: ["b:1"] }),
      onHeld: (reason) => reasons.push(reason),
    });
    await clock.advance(10_000);
    expect(new Set(reasons).size).toBe(1);
    expect(reasons[0]).toMatch(/^node id 1 is held by a:1 since .*; waiting until its lease is over$/);
    await first.lease.revoke();
    await clock.advance(1_000);
    await second;
    expect(reasons.at(-1)).toBeUndefined();
  });

  it("refuses a copy of a directory that is in use: its clean-shutdown mark is older (R9)", async () => {
    const original = registration({ directoryId: "d" });
    const first = await registerNode({ ...held(), registration: original });
    const copy = { ...original, incarnation: "copy", cleanShutdownNodeEpoch: first.nodeEpoch - 1 };
    const refused = registerNode({ ...held({ store: client() }), registration: copy });
    await expect(refused).rejects.toMatchObject({ code: "INVALID_DATA_DIRECTORY" });
    expect(first.lease.lost.aborted).toBe(false);
    // Its own mark, left by a stop that could not deregister, and no mark after a crash: its successor.
    const own = { ...original, incarnation: "own", cleanShutdownNodeEpoch: first.nodeEpoch };
    await registerNode({ ...held({ store: client() }), registration: own });
    await registerNode({
      ...held({ store: client() }),
      registration: { ...original, incarnation: "crashed" },
    });
  });

  it("waits until a registration of the same node that still stands has run out", async () => {
    const old = client();
    const first = await registerNode({ ...held({ store: old }), registration: registration() });
    let second: number | undefined;
    const waiting = registerNode({ ...held(), registration: registration({ incarnation: "second" }) }).then(
      (registered) => {
        second = registered.nodeEpoch;
      },
    );
    await clock.advance(20_000);
    expect(second).toBeUndefined();
    // The former process is gone: nothing keeps its lease alive.
    await old.close();
    await clock.advance(3000);
    await waiting;
    expect(second).toBeGreaterThan(first.nodeEpoch);
  });

  it("takes over at once from a process that held the same data directory", async () => {
    const directoryId = "d";
    const first = await registerNode({
      ...held({ store: client() }),
      registration: registration({ directoryId }),
    });
    const second = await registerNode({
      ...held(),
      registration: registration({ directoryId, incarnation: "second" }),
    });
    expect(second.nodeEpoch).toBeGreaterThan(first.nodeEpoch);
  });

  it("finds its own registration after a lost answer, and goes on under one lease", async () => {
    store.faults.nextTransaction = "answer-lost";
    const registering = registerNode({ ...held(), registration: registration() });
    await clock.advance(1000);
    const { lease, nodeEpoch } = await registering;
    expect(await store.get(keys.node("partition-storage", 1))).toMatchObject({
      createRevision: nodeEpoch,
      leaseId: lease.id,
    });
    expect(server.leaseIds()).toEqual([lease.id]);
  });

  it("tries again while the store is away, with a new lease where the first was lost", async () => {
    store.faults.unavailable = true;
    const registering = registerNode({ ...held(), registration: registration() });
    await clock.advance(30_000);
    store.faults.unavailable = false;
    await clock.advance(30_000);
    expect((await registering).lease.lost.aborted).toBe(false);
  });

  it("gives up when it is told to, and leaves no lease behind", async () => {
    await registerNode({ ...held({ store: client() }), registration: registration() });
    const stop = new AbortController();
    const outcome = registerNode({
      ...held({ signal: stop.signal }),
      registration: registration({ incarnation: "second" }),
    }).catch((thrown: unknown) => thrown);
    await clock.advance(1000);
    stop.abort();
    await clock.advance(10);
    expect(await outcome).toMatchObject({ code: "CANCELLED" });
    expect(server.leaseIds()).toHaveLength(1);
  });
});

describe("campaign", () => {
  it("elects one at a time; the next one follows when the office is given up or lost", async () => {
    const first = await campaign({ ...held(), candidate: candidate("first") });
    const others = [client(), client()];
    const terms: number[] = [];
    const elections = others.map(async (other, index) => {
      const election = await campaign({ ...held({ store: other }), candidate: candidate(`other-${index}`) });
      terms.push(election.term);
      return election;
    });
    await clock.advance(10_000);
    expect(terms).toEqual([]);
    await first.lease.revoke();
    await clock.advance(10);
    expect(terms).toHaveLength(1);
    for (const other of others) other.faults.unavailable = true;
    await clock.advance(10_000);
    for (const other of others) other.faults.unavailable = false;
    await clock.advance(10_000);
    await Promise.all(elections);
    expect(terms[1]).toBeGreaterThan(terms[0] ?? 0);
    expect(terms[0]).toBeGreaterThan(first.term);
  });
});

describe("FencedWriter", () => {
  async function elected(): Promise<FencedWriter> {
    const { term } = await campaign({ ...held(), candidate: candidate("first") });
    return new FencedWriter({ store, keys, term, by: "someone" });
  }

  const put = { kind: "put" as const, key: "k", value: bytes("v") };
  const create = { compare: [{ key: "k", createRevision: 0 }], success: [put] };

  it("marks every write for those who refresh", async () => {
    const writer = await elected();
    const { revision } = await writer.write(create);
    expect((await store.get(keys.changed))?.modRevision).toBe(revision);
  });

  it("tells a conflict from a lost election", async () => {
    const writer = await elected();
    await writer.write(create);
    await expect(writer.write(create)).rejects.toMatchObject({ code: "METADATA_CONFLICT" });
    for (const id of server.leaseIds()) server.endLease(id);
    await campaign({ ...held({ store: client() }), candidate: candidate("second") });
    await expect(writer.write({ compare: [], success: [put] })).rejects.toMatchObject({
      code: "NOT_CONTROLLER",
    });
    expect((await store.get("k"))?.version).toBe(1);
  });

  it("finds out by reading back what became of a write whose answer was lost", async () => {
    const writer = await elected();
    store.faults.nextTransaction = "answer-lost";
    const { revision } = await writer.write(create);
    expect((await store.get("k"))?.modRevision).toBe(revision);
    store.faults.nextTransaction = "request-lost";
    const change = {
      compare: [{ key: "k", modRevision: revision }],
      success: [{ ...put, value: bytes("w") }],
    };
    await expect(writer.write(change)).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
    expect(text(await store.get("k"))).toBe("v");
  });
});

describe("ensureClusterId", () => {
  const random = { bytes: () => Uint8Array.from({ length: 16 }, () => 0xfb) };

  it("is written once, and the same for all who come later", async () => {
    const options = { store, keys, random: { ...random, float: () => 0, integer: () => 0, uuid: () => "" } };
    const clusterId = await ensureClusterId(options);
    expect(clusterId).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/);
    expect(await ensureClusterId({ ...options, expected: clusterId })).toBe(clusterId);
    await expect(ensureClusterId({ ...options, expected: "other" })).rejects.toMatchObject({
      code: "INVALID_DATA_DIRECTORY",
    });
    await expect(ensureClusterId({ ...options, expected: "not allowed" })).rejects.toMatchObject({
      code: "INVALID_CONFIG",
    });
  });
});

describe("keepRegistered", () => {
  it("takes a registration back that was under way when it was forbidden, and waits", async () => {
    let gate: PromiseWithResolvers<void> | undefined;
    const registered: number[] = [];
    store.faults.latencyMs = 10;
    const starting = keepRegistered({
      ...held(),
      registration: registration(),
      mayRegister: () => gate?.promise,
      onRegistered: (nodeEpoch) => registered.push(nodeEpoch),
    });
    await clock.advance(5);
    gate = Promise.withResolvers();
    await clock.advance(1000);
    expect(registered).toEqual([]);
    expect(await client().get(keys.node("partition-storage", 1))).toBeUndefined();
    const { resolve } = gate;
    gate = undefined;
    resolve();
    await clock.advance(1000);
    const kept = await starting;
    expect(registered).toEqual([kept.nodeEpoch]);
    gate = Promise.withResolvers();
    kept.renew();
    await clock.advance(1000);
    expect(kept.registered).toBe(false);
    const closing = kept.close();
    await clock.advance(1000);
    await closing;
  });
});
