import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { ottlaCommand } from "../support/ottla-server.ts";
import { haveTools } from "../support/tools.ts";
import { render, type TemplateOptions } from "./support/helm.ts";
import { LocalKubernetes } from "./support/local-kubernetes.ts";
import { ServiceLoad } from "./support/service-load.ts";

const TEST_POD = "ottla-test";
const GRPC_PORT = 50_051;

/** A pod's host name needs a namespace of its own, which only root may make. */
const mayName = spawnSync("unshare", ["--uts", "true"]).status === 0;
const canRun = haveTools("etcd", "unshare") && mayName;

let kubernetes: LocalKubernetes | undefined;
let directory: string | undefined;

afterEach(async () => {
  await kubernetes?.close();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  kubernetes = undefined;
});

async function install(options: TemplateOptions): Promise<LocalKubernetes> {
  directory = await mkdtemp(join(tmpdir(), "ottla-pods-"));
  kubernetes = await LocalKubernetes.install({
    manifests: await render(options),
    directory,
    ottla: ottlaCommand,
  });
  return kubernetes;
}

describe.skipIf(!canRun)("the rendered pods, as processes of this machine", () => {
  test("one pod for a try: it gets ready, helm test passes, and it stops in order", async () => {
    const running = await install({ profile: "dev" });
    expect(await running.runToEnd(TEST_POD)).toMatchObject({ code: 0 });
    await running.uninstall();
  });

  test("a cluster gets ready, and restarts pod by pod under load: no client sees an error", async () => {
    const running = await install({ set: ["etcd.replicas=1", "gateway.preStopSeconds=1"] });
    const tested = await running.runToEnd(TEST_POD);
    expect(tested.output).toContain("1000 records produced and consumed");
    expect(tested.code).toBe(0);
    const load = await ServiceLoad.start(running.serviceAddress("ottla-gateway", GRPC_PORT));
    for (const workload of ["storage", "coordinator", "group-coordinator", "gateway"]) {
      await running.rollingRestart(`ottla-${workload}`);
      await load.untilAllMoved();
    }
    const outcome = await load.stop();
    expect(outcome.errors).toEqual([]);
    expect(outcome.faults).toEqual([]);
    expect(outcome.acknowledged).toBeGreaterThan(100);
    await running.uninstall();
  }, 240_000);
});
