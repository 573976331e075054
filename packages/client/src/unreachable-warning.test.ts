import { OttlaError } from "@ottla/errors";
import { GroupService } from "@ottla/proto/ottla/v1/group";
import { InProcessTransport, ServiceRegistry } from "@ottla/rpc";
import { VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { Ottla } from "./ottla.ts";
import { UnreachableWarning } from "./unreachable-warning.ts";

function startWarning() {
  const clock = new VirtualClock();
  const said: string[] = [];
  const warning = new UnreachableWarning(clock, (reason) => said.push(reason));
  const fail = async (afterMs: number): Promise<void> => {
    await clock.advance(afterMs);
    warning.failed(new OttlaError("UNAVAILABLE", "cannot reach a:1"));
  };
  return { said, fail };
}

test("a server that is away for some seconds is told of once", async () => {
  const { said, fail } = startWarning();
  for (let attempt = 0; attempt < 3; attempt += 1) await fail(2_000);
  expect(said).toEqual([]);
  for (let attempt = 0; attempt < 3; attempt += 1) await fail(2_000);
  expect(said).toEqual(["cannot reach a:1"]);
});

test("connections that are lost now and then are no reason", async () => {
  const { said, fail } = startWarning();
  for (let attempt = 0; attempt < 10; attempt += 1) await fail(60_000);
  expect(said).toEqual([]);
});

test("a consumer without a server and without a logger does not wait in silence", async () => {
  const warned = new Promise<Error>((resolve) => {
    process.once("warning", resolve);
  });
  const clock = new VirtualClock();
  const unused = () => Promise.reject(new OttlaError("UNIMPLEMENTED", "not part of this server"));
  const registry = new ServiceRegistry().add(GroupService, {
    consume: () => Promise.reject(new OttlaError("UNAVAILABLE", "cannot reach a:1")),
    listGroups: unused,
    describeGroup: unused,
    commitOffsets: unused,
    deleteGroup: unused,
  });
  const ottla = new Ottla({ clock, openTransport: () => new InProcessTransport({ registry, clock }) });
  const consumer = ottla.consumer({ group: "g", topics: ["t"] });
  for (let attempt = 0; attempt < 10; attempt += 1) await clock.advance(2_500);
  expect(await warned).toMatchObject({
    code: "OTTLA_UNREACHABLE",
    message: expect.stringContaining("cannot reach a:1"),
  });
  const closed = consumer.close();
  await clock.advance(60_000);
  await closed;
});
