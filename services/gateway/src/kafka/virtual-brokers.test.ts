import { ClusterView, MetadataKeys, ModelServer, ModelStore, nodeRegistrationCodec } from "@ottla/metadata";
import { nullLogger, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import type { KafkaConnectionState } from "./handler.ts";
import { GatewayBrokers, parseHostAndPort, SharedBroker } from "./virtual-brokers.ts";

function reached(localAddress: string): KafkaConnectionState {
  return { id: 1, localAddress, localPort: 9092, attachments: new Map(), onClosed: () => undefined };
}

test("the shared broker has the address that is configured, else the one that the client has reached", () => {
  const addressed = new SharedBroker({ host: "kafka.example", port: 1234 });
  expect(addressed.all(reached("127.0.0.1"))).toEqual([
    { nodeId: 1_000_001, host: "kafka.example", port: 1234, rack: null },
  ]);
  const shared = new SharedBroker(undefined);
  const hostFor = (localAddress: string) => shared.coordinator(reached(localAddress)).host;
  expect(hostFor("127.0.0.1")).toBe("localhost");
  expect(hostFor("::1")).toBe("localhost");
  expect(hostFor("::ffff:127.0.0.1")).toBe("localhost");
  expect(hostFor("::ffff:10.0.0.7")).toBe("10.0.0.7");
  expect(hostFor("fd00::7")).toBe("fd00::7");
});

test("addresses are understood with host names and with IPv6, and nothing else is", () => {
  expect(parseHostAndPort("kafka.example:9092")).toEqual({ host: "kafka.example", port: 9092 });
  expect(parseHostAndPort("[fd00::1]:9092")).toEqual({ host: "fd00::1", port: 9092 });
  for (const bad of ["kafka", "kafka:", ":9092", "kafka:0", "kafka:70000", "fd00::1:9092"]) {
    expect(parseHostAndPort(bad)).toBeUndefined();
  }
});

const TOPIC_ID = "5f0c9b3e-8a52-4a5c-9a3e-3b1f0a9d7c11";

async function openGateways(zones: readonly string[]) {
  const clock = new VirtualClock();
  const store = new ModelStore({ server: new ModelServer({ clock }), clock });
  const keys = new MetadataKeys("test");
  const register = (zone: string, index: number) => ({
    kind: "put" as const,
    key: keys.node("gateway", index + 1),
    value: nodeRegistrationCodec.encode({
      role: "gateway",
      nodeId: index + 1,
      addresses: [],
      kafkaAddress: `gateway-${index + 1}:9092`,
      zone,
      version: "1",
      incarnation: "x",
      directoryId: "",
      cleanShutdownNodeEpoch: -1,
    }),
  });
  await store.transact({ compare: [], success: zones.map(register) });
  const askFirst = async () => {
    const view = await ClusterView.open({ store, cluster: "test", clock, logger: nullLogger });
    const [zone = ""] = zones;
    const advertised = { host: "gateway-1", port: 9092 };
    const brokers = new GatewayBrokers({ view, nodeId: 1, zone, advertised });
    const leader = brokers.leaders(TOPIC_ID);
    const ids = brokers.all(reached("10.0.0.1")).map(({ nodeId }) => nodeId);
    return { ids, leaders: Array.from({ length: 300 }, (_, partition) => leader(partition)) };
  };
  const remove = (nodeId: number) =>
    store.transact({ compare: [], success: [{ kind: "delete", key: keys.node("gateway", nodeId) }] });
  return { askFirst, remove };
}

test("gateways share the partitions, and when one goes only its own move", async () => {
  const { askFirst, remove } = await openGateways(["", "", ""]);
  const before = await askFirst();
  expect(before.ids).toEqual([2_000_001, 2_000_002, 2_000_003]);
  for (const id of before.ids) {
    expect(before.leaders.filter((leader) => leader === id).length).toBeGreaterThan(60);
  }
  await remove(3);
  const after = await askFirst();
  expect(after.ids).toEqual([2_000_001, 2_000_002]);
  const moved = before.leaders.filter((leader, partition) => after.leaders[partition] !== leader);
  expect(new Set(moved)).toEqual(new Set([2_000_003]));
});

test("a gateway sends its clients to gateways of its own zone, and names all of them", async () => {
  const { askFirst, remove } = await openGateways(["a", "b", "a"]);
  const both = await askFirst();
  expect(both.ids).toEqual([2_000_001, 2_000_002, 2_000_003]);
  expect(new Set(both.leaders)).toEqual(new Set([2_000_001, 2_000_003]));
  await remove(3);
  expect(new Set((await askFirst()).leaders)).toEqual(new Set([2_000_001]));
});
