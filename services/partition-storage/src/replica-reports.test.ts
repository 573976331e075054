import { OttlaError } from "@ottla/errors";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import { InProcessTransport, type ServiceImplementation, ServiceRegistry } from "@ottla/rpc";
import { nullLogger, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { ReplicaReports } from "./replica-reports.ts";
import { metadataOf, PARTITION } from "./test-metadata.ts";

test("damage is reported until it is heard of, and no more once the replica is whole again", async () => {
  const clock = new VirtualClock();
  const { view } = await metadataOf(clock, [1, 2]);
  let heard = 0;
  const refuse = (): never => {
    heard += 1;
    throw new OttlaError("UNAVAILABLE", "not now");
  };
  const methods = CoordinatorService.methods.map(({ localName }) => [localName, refuse]);
  const service = Object.fromEntries(methods) as ServiceImplementation<typeof CoordinatorService>;
  const registry = new ServiceRegistry().add(CoordinatorService, service);
  const reports = new ReplicaReports({
    view,
    clock,
    logger: nullLogger,
    identity: () => ({ nodeId: 1, nodeEpoch: 7 }),
    controller: () => new InProcessTransport({ registry, clock }),
    onNotController: () => undefined,
    timeoutMs: 1_000,
  });
  reports.add(PARTITION, { kind: "damaged", fromOffset: 3 });
  await clock.advance(1_000);
  const before = heard;
  expect(before).toBeGreaterThan(1);
  reports.withdrawDamage(PARTITION);
  await clock.advance(60_000);
  expect(heard).toBe(before);
  await reports.close();
});
