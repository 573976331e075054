import { expect, test } from "vitest";
import { haveClients } from "../conformance/support/programs.ts";
import { haveEtcd } from "../support/etcd-server.ts";
import { ChaosRun } from "./chaos-run.ts";
import { FAULTS } from "./faults.ts";
import { everyFaultOnce } from "./plans.ts";

/** Another one strikes in another order, and other nodes. */
const SEED = 1;

test.runIf(haveEtcd())("records stay, once and in order, whatever breaks; clients only wait", async () => {
  const faults = await ChaosRun.run({
    seed: SEED,
    shape: {
      coordinators: 2,
      storageNodes: 3,
      groupCoordinators: 2,
      gateways: 2,
      etcdMembers: 3,
      replicationFactor: 3,
    },
    partitions: 6,
    recordsPerSecond: 10,
    withKafka: haveClients("python"),
    plan: everyFaultOnce(FAULTS),
    say: (line) => process.stdout.write(`${line}\n`),
  });
  expect(faults).toEqual([]);
});
