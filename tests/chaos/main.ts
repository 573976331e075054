import { systemRandom } from "@ottla/runtime";
import { haveClients } from "../conformance/support/programs.ts";
import { ChaosRun } from "./chaos-run.ts";
import { FAULTS } from "./faults.ts";
import { untilMinutesAreOver } from "./plans.ts";

/**
 * `make chaos`: a real cluster under load and faults. Environment: MINUTES (10), SEED (random), FAULTS (a
 * regular expression: only the faults whose names match strike), ETCD_MEMBERS (3), REPLICATION_FACTOR (3),
 * RATE (records per second of each producer), PARTITIONS, KEEP_FILES (1: when nothing was wrong, too).
 */

function setting(name: string, fallback: number): number {
  const text = process.env[name];
  return text === undefined || text === "" ? fallback : Number(text);
}

const seed = setting("SEED", systemRandom.integer(2 ** 31));
const minutes = setting("MINUTES", 10);
const only = new RegExp(process.env["FAULTS"] ?? "");
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const asked = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (asked.signal.aborted) process.exit(130);
    say("stopping after this fault; once more to end at once, which leaves namespaces and mounts behind");
    asked.abort();
  });
}

say(`seed ${seed}, ${minutes} minutes`);
const faults = await ChaosRun.run({
  seed,
  shape: {
    coordinators: 2,
    storageNodes: 3,
    groupCoordinators: 2,
    gateways: 2,
    etcdMembers: setting("ETCD_MEMBERS", 3),
    replicationFactor: setting("REPLICATION_FACTOR", 3),
  },
  partitions: setting("PARTITIONS", 6),
  recordsPerSecond: setting("RATE", 20),
  withKafka: haveClients("python"),
  plan: untilMinutesAreOver({
    minutes,
    signal: asked.signal,
    faults: FAULTS.filter(({ kind }) => only.test(kind)),
  }),
  say,
  keepFiles: setting("KEEP_FILES", 0) !== 0,
});
for (const fault of faults) say(`FAULT: ${fault}`);
say(faults.length === 0 ? "nothing was lost" : `replay with SEED=${seed}`);
process.exitCode = faults.length === 0 ? 0 : 1;
