import { afterEach, beforeEach, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "./coordinator-options.ts";
import { TestCluster, type TestCoordinator } from "./test-cluster.ts";

const SESSION = "consumer.session.timeout.ms";
const INTERVAL = "consumer.heartbeat.interval.ms";

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.open();
});

afterEach(async () => {
  await cluster.close();
});

async function startActive(maxGroupConfigs = 10): Promise<TestCoordinator> {
  const coordinator = await cluster.startCoordinator(1, { limits: { ...DEFAULT_LIMITS, maxGroupConfigs } });
  await coordinator.running.whenActive();
  return coordinator;
}

function alter(
  coordinator: TestCoordinator,
  groupId: string,
  set: Record<string, string>,
  remove: string[] = [],
) {
  return coordinator.client.alterGroupConfig({ groupId, set, remove });
}

async function configsOf(groupId: string): Promise<unknown> {
  await cluster.settle();
  return cluster.view.groupConfigs.get(groupId)?.configs;
}

it("keeps the settings of groups, which need not exist, and forgets those that set nothing", async () => {
  const coordinator = await startActive();
  await alter(coordinator, "a/b", { [SESSION]: "50000", [INTERVAL]: "6000" });
  expect(await configsOf("a/b")).toEqual({ [SESSION]: "50000", [INTERVAL]: "6000" });
  await alter(coordinator, "a/b", { [INTERVAL]: "7000" }, [SESSION, "no.such"]);
  expect(await configsOf("a/b")).toEqual({ [INTERVAL]: "7000" });
  const wanted = { groupId: "a/b", set: {}, remove: [INTERVAL] };
  await coordinator.client.alterGroupConfig({ ...wanted, validateOnly: true });
  expect(await configsOf("a/b")).toEqual({ [INTERVAL]: "7000" });
  await alter(coordinator, "a/b", {}, [INTERVAL]);
  expect(await configsOf("a/b")).toBeUndefined();
});

it("refuses what no group may set, and changes nothing then", async () => {
  const coordinator = await startActive();
  const invalid: Record<string, string>[] = [
    { "share.session.timeout.ms": "45000" },
    { [SESSION]: "44999" },
    { [SESSION]: "60001" },
    { [SESSION]: "5e4" },
    { [INTERVAL]: "4999" },
    { [INTERVAL]: "15001", [SESSION]: "50000" },
  ];
  for (const set of invalid) {
    await expect(alter(coordinator, "a", set)).rejects.toMatchObject({ code: "INVALID_CONFIG" });
  }
  for (const groupId of ["", "x".repeat(1_025)]) {
    await expect(alter(coordinator, groupId, { [SESSION]: "50000" })).rejects.toMatchObject({
      code: "INVALID_GROUP_ID",
    });
  }
  expect(await configsOf("a")).toBeUndefined();
});

it("keeps settings of so many groups and no more", async () => {
  const coordinator = await startActive(2);
  await alter(coordinator, "a", { [SESSION]: "50000" });
  await alter(coordinator, "b", { [SESSION]: "50000" });
  await cluster.settle();
  const third = () => alter(coordinator, "c", { [SESSION]: "50000" });
  await expect(third()).rejects.toMatchObject({ code: "POLICY_VIOLATION" });
  await alter(coordinator, "b", { [SESSION]: "51000" });
  await alter(coordinator, "a", {}, [SESSION]);
  await third();
  expect(await configsOf("c")).toEqual({ [SESSION]: "50000" });
});
