import { ClusterView, MetadataKeys, ModelServer, ModelStore, nodeRegistrationCodec } from "@ottla/metadata";
import {
  AUTO_NODE_ID,
  defaultSettings,
  nullLogger,
  SeededRandom,
  type Settings,
  type Target,
  VirtualClock,
} from "@ottla/runtime";
import { expect, test } from "vitest";
import { withFreeNodeId, withNodeIdOfHost } from "./node-id.ts";

async function settingsOf(role: Target): Promise<Settings> {
  return { ...(await defaultSettings({ target: [role] })), nodeId: AUTO_NODE_ID };
}

test("a node that stores has the ordinal of its pod, and refuses to guess without one", async () => {
  const settings = await settingsOf("partition-storage");
  expect(withNodeIdOfHost(settings, "ottla-storage-0").nodeId).toBe(0);
  expect(withNodeIdOfHost(settings, "ottla-storage-12").nodeId).toBe(12);
  for (const name of ["ottla", "storage-007", "node-1234567", ""]) {
    expect(() => withNodeIdOfHost(settings, name)).toThrow(/--node-id/);
  }
  expect(withNodeIdOfHost({ ...settings, nodeId: 5 }, "ottla-storage-0").nodeId).toBe(5);
});

test("any other node takes an id that no node of its role has", async () => {
  const clock = new VirtualClock();
  const store = new ModelStore({ server: new ModelServer({ clock }), clock });
  const keys = new MetadataKeys("test");
  const settings = await settingsOf("gateway");
  expect(withNodeIdOfHost(settings, "ottla-gateway-6d4f-x2b9z").nodeId).toBe(AUTO_NODE_ID);
  const open = () => ClusterView.open({ store, cluster: "test", clock, logger: nullLogger });
  const first = withFreeNodeId(settings, await open(), new SeededRandom(7));
  const registration = {
    role: "gateway",
    nodeId: first.nodeId,
    addresses: [],
    zone: "",
    version: "1",
    incarnation: "x",
    directoryId: "",
    cleanShutdownNodeEpoch: -1,
  } as const;
  const value = nodeRegistrationCodec.encode(registration);
  await store.transact({
    compare: [],
    success: [{ kind: "put", key: keys.node("gateway", first.nodeId), value }],
  });
  const second = withFreeNodeId(settings, await open(), new SeededRandom(7));
  expect(first.nodeId).toBeGreaterThanOrEqual(1_000);
  expect(second.nodeId).not.toBe(first.nodeId);
});
