import { type RunningCoordinator, startCoordinator } from "@ottla/coordinator";
import {
  type ClusterPartition,
  ClusterView,
  type Lease,
  type MetadataStore,
  registerNode,
} from "@ottla/metadata";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import { createClient, InProcessTransport, type RpcClient, ServiceRegistry } from "@ottla/rpc";
import { createMetricsRegistry, nullLogger, systemClock, systemRandom } from "@ottla/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EtcdServer, haveEtcd } from "../support/etcd-server.ts";
import { openEtcdStore } from "../support/etcd-store.ts";
import { FaultProxy } from "../support/fault-proxy.ts";

const CLUSTER = "coordinator-test";
const TTL_MS = 3000;
const PER_REQUEST = 1000;
const UNSPECIFIED = 0;
const UNKNOWN_OUTCOME = 4;

interface Coordinator {
  readonly running: RunningCoordinator;
  readonly store: MetadataStore;
  readonly client: RpcClient<typeof CoordinatorService>;
}

let etcd: EtcdServer;
let store: MetadataStore;
let view: ClusterView;
let leases: Map<number, Lease>;
let coordinators: Coordinator[];

async function start(nodeId: number, endpoints = etcd.endpoints): Promise<Coordinator> {
  const own = openEtcdStore(endpoints);
  const registry = new ServiceRegistry();
  const running = await startCoordinator({
    store: own,
    cluster: CLUSTER,
    view,
    nodeId,
    address: `coordinator-${nodeId}`,
    zone: "",
    version: "0",
    clock: systemClock,
    random: systemRandom,
    logger: nullLogger,
    metrics: createMetricsRegistry(),
    registry,
    settings: { numPartitions: 1, topicDefaults: {} },
    leaseTtlMs: TTL_MS,
  });
  const transport = new InProcessTransport({ registry, clock: systemClock });
  const coordinator = { running, store: own, client: createClient(CoordinatorService, transport) };
  coordinators.push(coordinator);
  return coordinator;
}

async function register(nodeId: number): Promise<void> {
  const registration = {
    role: "partition-storage" as const,
    nodeId,
    addresses: [`storage-${nodeId}`],
    zone: "",
    version: "0",
    incarnation: systemRandom.uuid(),
    directoryId: `directory-${nodeId}`,
    cleanShutdownNodeEpoch: -1,
  };
  const held = { store, keys: view.keys, ttlMs: TTL_MS, clock: systemClock, logger: nullLogger };
  leases.set(nodeId, (await registerNode({ ...held, registration })).lease);
}

/** Resolves when the view shows it. */
async function until(holds: () => boolean): Promise<void> {
  if (holds()) return;
  await new Promise<void>((resolve) => {
    const end = view.onChange(() => {
      if (!holds()) return;
      end();
      resolve();
    });
  });
}

function partitions(): ClusterPartition[] {
  return [...view.partitions()];
}

function epochOf(nodeId: number): bigint {
  return BigInt(view.node("partition-storage", nodeId)?.nodeEpoch ?? 0);
}

function isReady(nodeId: number): boolean {
  const nodeEpoch = view.node("partition-storage", nodeId)?.nodeEpoch;
  return nodeEpoch !== undefined && view.storageNode(nodeId)?.lastNodeEpoch === nodeEpoch;
}

/** As all leaders would ask at once; the refusals that came. */
async function alterAll(
  { client }: Coordinator,
  isrOf: (state: ClusterPartition) => readonly number[],
  chosen = partitions(),
): Promise<Set<number>> {
  const answers = [...leases.keys()].flatMap((nodeId) => {
    const led = chosen.filter(({ leader }) => leader === nodeId);
    const requests = Array.from({ length: Math.ceil(led.length / PER_REQUEST) }, (_, i) =>
      led.slice(i * PER_REQUEST, (i + 1) * PER_REQUEST),
    );
    return requests.map((states) => {
      const changes = states.map((state) => change(state, isrOf(state)));
      return client.alterIsr({ nodeId, nodeEpoch: epochOf(nodeId), changes });
    });
  });
  const refusals = new Set<number>();
  for (const answer of await Promise.all(answers)) {
    for (const { refusal } of answer.answers) refusals.add(refusal);
  }
  return refusals;
}

function change(state: ClusterPartition, isr: readonly number[]) {
  const { topicId, partition, leaderEpoch, partitionEpoch } = state;
  const joining = isr.filter((nodeId) => !state.isr.includes(nodeId));
  const added = joining.map((nodeId) => ({ nodeId, nodeEpoch: epochOf(nodeId) }));
  return { topicId, partition, leaderEpoch, partitionEpoch, isr: [...isr], added, lostRecords: [] };
}

async function caughtUp(coordinator: Coordinator): Promise<void> {
  const moving = partitions().filter(({ addingReplicas }) => addingReplicas !== undefined);
  await alterAll(coordinator, ({ isr, addingReplicas = [] }) => [...isr, ...addingReplicas], moving);
}

describe.runIf(haveEtcd())("a coordinator over etcd", () => {
  beforeEach(async () => {
    etcd = await EtcdServer.start();
    store = openEtcdStore(etcd.endpoints);
    const logger = nullLogger;
    view = await ClusterView.open({ store, cluster: CLUSTER, clock: systemClock, logger });
    leases = new Map();
    coordinators = [];
    for (const nodeId of [1, 2, 3]) await register(nodeId);
  });

  afterEach(async () => {
    for (const { running } of coordinators) await running.stop();
    for (const coordinator of coordinators) await coordinator.store.close();
    view.close();
    await store.close();
    await etcd.stop();
  });

  test("leads 3,000 partitions elsewhere when a node goes, and changes all their ISRs at once", async () => {
    const coordinator = await start(1);
    await coordinator.running.whenActive();
    await until(() => [1, 2, 3].every((nodeId) => isReady(nodeId)));
    const wanted = { name: "t", partitions: 3000, replicationFactor: 3 };
    const { revision } = await coordinator.client.createTopic(wanted);
    await view.waitForRevision(Number(revision));
    expect(partitions()).toHaveLength(3000);
    expect(await alterAll(coordinator, ({ leader }) => [leader])).toEqual(new Set([UNSPECIFIED]));
    await view.refresh();
    expect(await alterAll(coordinator, ({ replicas }) => replicas)).toEqual(new Set([UNSPECIFIED]));
    await view.refresh();
    await leases.get(2)?.revoke();
    await until(() => partitions().every(({ leader, isr }) => leader !== 2 && !isr.includes(2)));
    for (const { leader, isr } of partitions()) expect(isr).toContain(leader);
    await register(2);
    await until(() => isReady(2));
    expect(await alterAll(coordinator, ({ replicas }) => replicas)).toEqual(new Set([UNSPECIFIED]));
    const node = { nodeId: 1, nodeEpoch: epochOf(1) };
    await view.refresh();
    const moved = await coordinator.client.moveLeadersAway(node);
    expect(moved.remaining).toBe(0);
    await view.waitForRevision(Number(moved.revision));
    for (const { leader, isr } of partitions()) {
      expect(leader).not.toBe(1);
      expect(isr).toHaveLength(2);
    }
  });

  test("changes ISRs while a large topic is being created", async () => {
    const coordinator = await start(1);
    await coordinator.running.whenActive();
    await until(() => [1, 2, 3].every((nodeId) => isReady(nodeId)));
    const small = await coordinator.client.createTopic({
      name: "small",
      partitions: 3,
      replicationFactor: 3,
    });
    await view.waitForRevision(Number(small.revision));
    const ended: string[] = [];
    const creation = coordinator.client
      .createTopic({ name: "large", partitions: 9000, replicationFactor: 3 })
      .then(() => ended.push("creation"));
    await until(() => partitions().length > 3);
    const chosen = [...view.partitionsOf(small.topicId)];
    const refusals = await alterAll(coordinator, ({ leader }) => [leader], chosen);
    ended.push("ISR changes");
    expect(refusals).toEqual(new Set([UNSPECIFIED]));
    await creation;
    expect(ended).toEqual(["ISR changes", "creation"]);
  });

  test("goes on with what a crashed one has begun: a drain, and a new node's share", async () => {
    const first = await start(1);
    await first.running.whenActive();
    const second = await start(2);
    await register(4);
    await until(() => [1, 2, 3, 4].every((nodeId) => isReady(nodeId)));
    const wanted = { name: "t", partitions: 60, replicationFactor: 3 };
    const { revision } = await first.client.createTopic(wanted);
    await view.waitForRevision(Number(revision));
    await first.client.drainNode({ nodeId: 1, drain: true });
    await until(() => partitions().some(({ addingReplicas }) => addingReplicas !== undefined));
    // As a process that ends: its lease runs out by itself.
    await first.store.close();
    await second.running.whenActive();
    const isEmpty = (): boolean => partitions().every(({ replicas }) => !replicas.includes(1));
    while (!isEmpty()) {
      await until(() => isEmpty() || partitions().some(({ addingReplicas }) => addingReplicas !== undefined));
      await caughtUp(second);
      await view.refresh();
    }
    await until(() => view.storageNode(1)?.drain === "drained");
    for (const { replicas, isr } of partitions()) expect(new Set(isr)).toEqual(new Set(replicas));
  });

  test("gives each ISR change one outcome over broken connections; a repeated one settles it", async () => {
    const proxy = await FaultProxy.start(etcd.first.clientPort);
    const coordinator = await start(1, [proxy.endpoint]);
    await coordinator.running.whenActive();
    await until(() => [1, 2, 3].every((nodeId) => isReady(nodeId)));
    const created = await coordinator.client.createTopic({ name: "t", partitions: 1, replicationFactor: 3 });
    await view.waitForRevision(Number(created.revision));
    const state = (): ClusterPartition => {
      const found = view.partition(created.topicId, 0);
      if (found === undefined) throw new Error("the view shows no partition");
      return found;
    };
    for (let i = 0; i < 10; i += 1) {
      const before = state();
      const wanted = i % 2 === 0 ? [before.leader] : before.replicas;
      const asked = alterAll(coordinator, () => wanted, [before]);
      proxy.cut();
      const unclear = [...(await asked)].filter((refusal) => refusal !== UNSPECIFIED);
      expect([[], [UNKNOWN_OUTCOME]]).toContainEqual(unclear);
      // What the coordinator has seen accepted is in the store; else the proposal is made once more.
      await view.refresh();
      const accepted = unclear.length === 0 || state().partitionEpoch > before.partitionEpoch;
      const settled = accepted
        ? new Set([UNSPECIFIED])
        : await alterAll(coordinator, () => wanted, [state()]);
      expect(settled).toEqual(new Set([UNSPECIFIED]));
      await view.refresh();
      expect(state()).toMatchObject({ isr: wanted, partitionEpoch: before.partitionEpoch + 1 });
    }
    await coordinator.running.stop();
    await proxy.stop();
  });
});
