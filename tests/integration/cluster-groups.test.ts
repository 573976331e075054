import { Ottla } from "@ottla/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";

const PARTITIONS = 4;
const GROUPS = 6;
const HEARTBEAT = ["--groups-consumer-heartbeat-interval-ms", "200ms"];

/** Reads as a member until everything has come, however often it comes. */
class Member {
  readonly values = new Set<number>();
  readonly #waiting: (() => void)[] = [];
  readonly #consumer;
  readonly #running: Promise<void>;

  constructor(ottla: Ottla, group: string, topic = "orders") {
    this.#consumer = ottla.consumer({ group, topics: [topic] });
    this.#running = this.#consumer.run(({ value }) => {
      this.values.add(Number(Buffer.from(value ?? []).toString()));
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  async until(count: number): Promise<void> {
    while (this.values.size < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async close(): Promise<void> {
    await this.#consumer.close();
    await this.#running;
  }
}

describe.runIf(haveEtcd())("groups in a cluster of processes", () => {
  let cluster: OttlaCluster;
  let ottla: Ottla;
  let produced = 0;
  const members: Member[] = [];

  beforeAll(async () => {
    cluster = await OttlaCluster.start(
      { coordinators: 1, storageNodes: 3, groupCoordinators: 2, gateways: 2 },
      ["--default-replication-factor", "3", "--topic-default", "min.insync.replicas=2", ...HEARTBEAT],
    );
    ottla = new Ottla({ address: `127.0.0.1:${cluster.node("gateway", 1).grpcPort}` });
    await ottla.admin().createTopic({ name: "orders", partitions: PARTITIONS });
    for (let index = 0; index < GROUPS; index += 1) members.push(new Member(ottla, `group-${index}`));
  });

  afterAll(async () => {
    await Promise.all(members.map((member) => member.close())).catch(() => undefined);
    await ottla?.close();
    await cluster?.stop();
  });

  /** Produces some more records and waits until every group has them. */
  async function moreComes(): Promise<void> {
    const producer = ottla.producer({ lingerMs: 0 });
    const end = produced + 20;
    for (; produced < end; produced += 1) {
      await producer.send({ topic: "orders", partition: produced % PARTITIONS, value: String(produced) });
    }
    await producer.close();
    await Promise.all(members.map((member) => member.until(produced)));
  }

  /** What all groups together have committed; it must never go back. */
  async function committed(): Promise<Map<string, bigint>> {
    const offsets = new Map<string, bigint>();
    for (let index = 0; index < GROUPS; index += 1) {
      const description = await ottla.groups().describe(`group-${index}`);
      for (const { partition, committedOffset } of description.offsets) {
        offsets.set(`${index}-${partition}`, committedOffset);
      }
    }
    return offsets;
  }

  /** Places whose committed offset is smaller than before. */
  async function goneBack(before: ReadonlyMap<string, bigint>): Promise<string[]> {
    const after = await committed();
    return [...before.keys()].filter((place) => (after.get(place) ?? -1n) < (before.get(place) ?? -1n));
  }

  test("all groups read on, whichever group-coordinator owns them", async () => {
    await moreComes();
    expect((await ottla.groups().list()).map(({ group }) => group)).toHaveLength(GROUPS);
  });

  test("a group-coordinator is killed: the other takes over, and no offset goes back", async () => {
    const before = await committed();
    await cluster.node("group-coordinator", 1).end("SIGKILL");
    await moreComes();
    expect(await goneBack(before)).toEqual([]);
    await cluster.node("group-coordinator", 1).launch();
    await moreComes();
    expect(await goneBack(before)).toEqual([]);
  });

  test("a storage node is killed: the groups' log goes on with another leader", async () => {
    const before = await committed();
    await cluster.node("partition-storage", 1).end("SIGKILL");
    await moreComes();
    expect(await goneBack(before)).toEqual([]);
    await cluster.node("partition-storage", 1).launch();
  });

  test("the members' gateway is killed and comes back: they join again by themselves", async () => {
    const before = await committed();
    await cluster.node("gateway", 1).end("SIGKILL");
    await cluster.node("gateway", 1).launch();
    await moreComes();
    expect(await goneBack(before)).toEqual([]);
  });

  test("a member that knows both gateways goes on when its own is killed or stopped", async () => {
    const gateways = [1, 2].map((nodeId) => cluster.node("gateway", nodeId));
    const roaming = new Ottla({ address: gateways.map(({ grpcPort }) => `localhost:${grpcPort}`) });
    const [first, second] = roaming.address
      .split(",")
      .map((address) => gateways.find(({ grpcPort }) => address.endsWith(`:${grpcPort}`)));
    const member = new Member(roaming, "roaming");
    await member.until(produced);
    const before = (await roaming.groups().describe("roaming")).members.map(({ memberId }) => memberId);
    const producer = roaming.producer({ lingerMs: 0 });
    const goesOn = async (): Promise<void> => {
      const values = Array.from({ length: PARTITIONS }, (_, index) => produced + index);
      produced += PARTITIONS;
      await Promise.all(
        values.map((value) =>
          producer.send({ topic: "orders", partition: value % PARTITIONS, value: `${value}` }),
        ),
      );
      await member.until(produced);
    };
    await first?.end("SIGKILL");
    await goesOn();
    await first?.launch();
    await second?.end("SIGTERM");
    await goesOn();
    await second?.launch();
    const after = (await roaming.groups().describe("roaming")).members.map(({ memberId }) => memberId);
    expect(after).toEqual(before);
    await member.close();
    await roaming.close();
  });

  test("a partition without a leader keeps no other one from a new group", async () => {
    const assignments = [[1], [3]];
    await ottla.admin().createTopic({ name: "halves", assignments, configs: { "min.insync.replicas": 1 } });
    const producer = ottla.producer({ lingerMs: 0 });
    for (const partition of [0, 1])
      await producer.send({ topic: "halves", partition, value: `${partition}` });
    await producer.close();
    await cluster.node("partition-storage", 3).end("SIGKILL");
    const member = new Member(ottla, "halves", "halves");
    await member.until(1);
    expect([...member.values]).toEqual([0]);
    await cluster.node("partition-storage", 3).launch();
    await member.until(2);
    await member.close();
  });

  test("a topic under the name of one that was deleted meanwhile is read from its beginning", async () => {
    const owners = [1, 2].map((nodeId) => cluster.node("group-coordinator", nodeId));
    const values = ["0", "1", "2"];
    const write = async (): Promise<void> => {
      await ottla.admin().createTopic({ name: "again", partitions: 1 });
      const producer = ottla.producer({ lingerMs: 0 });
      for (const value of values) await producer.send({ topic: "again", value });
      await producer.close();
    };
    const readAll = async (): Promise<void> => {
      const member = new Member(ottla, "again", "again");
      await member.until(values.length);
      await member.close();
    };
    await write();
    await readAll();
    // Nobody who could take the deleted topic's offsets away sees that it is deleted.
    await Promise.all(owners.map((owner) => owner.end("SIGKILL")));
    await ottla.admin().deleteTopic("again");
    await write();
    await Promise.all(owners.map((owner) => owner.launch()));
    expect((await ottla.groups().describe("again")).offsets).toEqual([]);
    await readAll();
  });
});
