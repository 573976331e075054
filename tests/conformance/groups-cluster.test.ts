import { join } from "node:path";
import { Ottla } from "@ottla/client";
import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { OttlaCluster, type OttlaNode } from "../support/ottla-cluster.ts";
import { haveTools } from "../support/tools.ts";
import { JavaTools } from "./support/java-tools.ts";
import { failureOf, haveClients, pythonProgram, runChecked } from "./support/programs.ts";

const TOPIC = "orders";
const PARTITIONS = [0, 1, 2, 3];
const FLAGS = [
  "--default-replication-factor=3",
  "--topic-default=min.insync.replicas=2",
  // One node owns all groups, and one storage node leads their log: those are the ones to kill.
  "--groups-offsets-topic-partitions=1",
  "--groups-initial-rebalance-delay-ms=0",
  "--groups-consumer-heartbeat-interval-ms=200ms",
  "--groups-consumer-session-timeout-ms=6s",
];
const groupChecks = join(import.meta.dirname, "python/group_checks.py");

interface Member {
  assigned(): readonly number[];
  close(): Promise<void>;
}

/** Members of one group, one on each gateway, and all that they have read together. */
class Group {
  readonly name: string;
  readonly members: Member[] = [];
  readonly values = new Set<string>();
  #waiting: (() => void)[] = [];

  constructor(name: string) {
    this.name = name;
  }

  read(value: Uint8Array | null | undefined): void {
    this.values.add(Buffer.from(value ?? []).toString());
    this.changed();
  }

  changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Each partition has one owner, and each member has partitions. */
  untilShared(): Promise<void> {
    return this.until(() => {
      const owned = this.members.map((member) => member.assigned());
      const all = owned.flat().toSorted((left, right) => left - right);
      return all.join() === PARTITIONS.join() && owned.every((partitions) => partitions.length === 2);
    });
  }
}

describe.runIf(haveEtcd())("groups whose members are on different gateways of a cluster", () => {
  const classic = new Group("classic");
  const modern = new Group("modern");
  const groups = [classic, modern];
  const clients: Ottla[] = [];
  /** Partitions that a member was given while another still had them. */
  const ownedTwice: number[] = [];
  let cluster: OttlaCluster;
  let ottla: Ottla;
  let produced = 0;

  beforeAll(async () => {
    const shape = { coordinators: 2, storageNodes: 3, groupCoordinators: 2, gateways: 2 };
    cluster = await OttlaCluster.start(shape, FLAGS);
    ottla = clientOf(2);
    await ottla.admin().createTopic({ name: TOPIC, partitions: PARTITIONS.length });
    for (const nodeId of [1, 2]) {
      modern.members.push(joinModern(nodeId));
      classic.members.push(await joinClassic(nodeId));
    }
  });

  afterAll(async () => {
    const members = groups.flatMap((group) => group.members);
    await Promise.all(members.map((member) => member.close()));
    await Promise.all(clients.map((client) => client.close()));
    await cluster?.stop();
  });

  function clientOf(gateway: number): Ottla {
    const client = new Ottla({ address: `127.0.0.1:${cluster.node("gateway", gateway).grpcPort}` });
    clients.push(client);
    return client;
  }

  function kafkaAddress(gateway: number): string {
    return `127.0.0.1:${cluster.node("gateway", gateway).kafkaPort}`;
  }

  function joinModern(gateway: number): Member {
    const changed = (): void => modern.changed();
    const onAssigned = (partitions: readonly { readonly partition: number }[]): void => {
      for (const { partition } of partitions) {
        const owners = modern.members.filter((member) => member.assigned().includes(partition));
        if (owners.length > 1) ownedTwice.push(partition);
      }
      changed();
    };
    const options = { group: modern.name, topics: [TOPIC], onAssigned, onRevoked: changed };
    const consumer = clientOf(gateway).consumer(options);
    const running = consumer.run(({ value }) => modern.read(value));
    const close = async (): Promise<void> => {
      await consumer.close();
      await running;
    };
    return { assigned: () => consumer.assignment().map(({ partition }) => partition), close };
  }

  async function joinClassic(gateway: number): Promise<Member> {
    let assigned: readonly number[] = [];
    const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 100 };
    const brokers = [kafkaAddress(gateway)];
    const consumer = new Kafka({ clientId: "kafkajs", brokers, logLevel: logLevel.NOTHING, retry }).consumer({
      groupId: classic.name,
      sessionTimeout: 6_000,
      heartbeatInterval: 100,
      rebalanceTimeout: 6_000,
      maxWaitTimeInMs: 100,
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      assigned = payload.memberAssignment[TOPIC] ?? [];
      classic.changed();
    });
    await consumer.connect();
    await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
    const eachMessage = async ({ message }: { message: { value: Buffer | null } }): Promise<void> =>
      classic.read(message.value);
    await consumer.run({ autoCommitThreshold: 1, eachMessage });
    return { assigned: () => assigned, close: () => consumer.disconnect() };
  }

  async function committed(): Promise<Map<string, bigint>> {
    const offsets = new Map<string, bigint>();
    for (const { name } of groups) {
      const description = await ottla.groups().describe(name);
      for (const place of description.offsets) {
        offsets.set(`${name}-${place.partition}`, place.committedOffset);
      }
    }
    return offsets;
  }

  /**
   * Both groups read what is produced from now on. Returns what must not be: places whose
   * committed offset went back, partitions that were given to two members.
   */
  async function moreComes(before: ReadonlyMap<string, bigint>): Promise<string[]> {
    const producer = ottla.producer({ lingerMs: 0 });
    for (const end = produced + 12; produced < end; produced += 1) {
      const partition = produced % PARTITIONS.length;
      await producer.send({ topic: TOPIC, partition, value: String(produced) });
    }
    await producer.close();
    await Promise.all(groups.map((group) => group.until(() => group.values.size === produced)));
    const after = await committed();
    const goneBack = [...before].filter(([place, offset]) => (after.get(place) ?? -1n) < offset);
    return [...goneBack.map(([place]) => place), ...ownedTwice.map((partition) => `twice: ${partition}`)];
  }

  async function untilShared(): Promise<void> {
    await Promise.all(groups.map((group) => group.untilShared()));
  }

  /** The group-coordinator that owns all groups. */
  async function owner(): Promise<OttlaNode> {
    const nodes = [1, 2].map((nodeId) => cluster.node("group-coordinator", nodeId));
    const owned = await Promise.all(
      nodes.map((node) => node.metric("ottla_group_coordinator_owned_partitions")),
    );
    const found = nodes.find((_, index) => owned[index] === 1);
    if (found === undefined) throw new Error(`the nodes own ${owned.join(" and ")} partitions`);
    return found;
  }

  test("members share the partitions, each at its own gateway", async () => {
    await untilShared();
    expect(await moreComes(new Map())).toEqual([]);
  });

  test("the owner of the groups is killed: the other takes over, nobody loses a partition", async () => {
    const before = await committed();
    const killed = await owner();
    await killed.end("SIGKILL");
    expect(await moreComes(before)).toEqual([]);
    await killed.launch();
    await untilShared();
  });

  test("the owner of the groups is stopped and started: it ends cleanly, commits stay", async () => {
    const before = await committed();
    const stopped = await owner();
    expect(await stopped.end("SIGTERM")).toBe(0);
    expect(await moreComes(before)).toEqual([]);
    await stopped.launch();
    expect(await moreComes(before)).toEqual([]);
    await untilShared();
  });

  test("the leader of the groups' log is killed: they go on with the next one", async () => {
    const before = await committed();
    const [topic] = await ottla.admin().describeTopics(["__consumer_offsets"]);
    const leader = cluster.node("partition-storage", topic?.partitions[0]?.leader ?? -1);
    await leader.end("SIGKILL");
    expect(await moreComes(before)).toEqual([]);
    await untilShared();
    await leader.launch();
  });

  test("a gateway is killed: members at the other take over, and share again when it is back", async () => {
    const before = await committed();
    await cluster.node("gateway", 1).end("SIGKILL");
    expect(await moreComes(before)).toEqual([]);
    await cluster.node("gateway", 1).launch();
    await untilShared();
    expect(await moreComes(before)).toEqual([]);
  });

  test.runIf(haveTools("kcat"))("kcat -G reads on at the other gateway", async () => {
    const send = (input: string) =>
      runChecked("kcat", ["-b", kafkaAddress(1), "-P", "-t", "kcat", "-p", "0"], { input });
    const read = (gateway: number) => {
      const group = ["-q", "-G", "kcat", "-c", "2", "-X", "auto.offset.reset=earliest"];
      return runChecked("kcat", ["-b", kafkaAddress(gateway), ...group, "kcat"]);
    };
    await send("1\n2\n");
    expect(await read(1)).toBe("1\n2\n");
    await send("3\n4\n");
    expect(await read(2)).toBe("3\n4\n");
  });

  test.runIf(haveClients("python")).each(["classic", "consumer"])(
    "confluent-kafka, %s protocol: members at both gateways share, and take over",
    async (protocol) => {
      const bootstrap = `${kafkaAddress(1)},${kafkaAddress(2)}`;
      expect(await failureOf(pythonProgram, [groupChecks, "sharing", bootstrap, protocol])).toBe("");
    },
  );

  test.runIf(haveClients("java"))("Kafka's tools read on and describe at the other gateway", async () => {
    const tools = new JavaTools();
    const at = (gateway: number) => `--bootstrap-server ${kafkaAddress(gateway)}`;
    const read = (gateway: number, protocol: string) =>
      tools.run(
        "kafka-console-consumer",
        `${at(gateway)} --topic java --group java-${protocol} --from-beginning --max-messages 1 ` +
          `--command-property max.poll.records=1 --command-property group.protocol=${protocol}`,
      );
    await tools.run("kafka-console-producer", `${at(1)} --topic java`, "one\ntwo\n");
    for (const protocol of ["classic", "consumer"]) {
      expect(await read(1, protocol)).toBe("one\n");
      expect(await read(2, protocol)).toBe("two\n");
      const table = await tools.run("kafka-consumer-groups", `${at(1)} --describe --group java-${protocol}`);
      expect(table).toMatch(/java\s+0\s+2\s+2\s+0\s/);
    }
    await tools.close();
  });
});
