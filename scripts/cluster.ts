import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePorts, isFree, Programs } from "./programs.ts";

/**
 * `make cluster`: a whole Ottla of many processes on this machine, in the foreground,
 * over a real etcd. Ctrl-C stops all of it in order. Environment: DATA_DIR keeps the data
 * there (else it is fresh, and removed at the end), ETCD_MEMBERS is 1 or 3, PORT_OFFSET is added
 * to each port, so that a second cluster fits beside the first.
 */

const root = resolve(import.meta.dirname, "..");
const ottla = join(root, "bin/ottla");

const HIGHEST_OFFSET = 10_000;
const offset = Number(process.env["PORT_OFFSET"] ?? "0");

/** Fixed, so that members find one another when they start again on their data. */
const ETCD_CLIENT_PORT = 23_790 + offset;
const ETCD_PEER_PORT = 23_800 + offset;

/** The first gateway has the ports that all examples use. */
const GATEWAYS = [
  { grpcPort: 50_051 + offset, httpPort: 8_080 + offset, kafkaPort: 9_092 + offset },
  { grpcPort: 50_061 + offset, httpPort: 8_081 + offset, kafkaPort: 9_093 + offset },
];
const COUNTS = { coordinator: 2, "partition-storage": 3, "group-coordinator": 2 };

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

class CannotStart extends Error {}

/** Makes sure that etcd is there; installs it where that takes no question. */
function requireEtcd(): void {
  const isInstalled = (): boolean =>
    spawnSync("etcd", ["--version"], { stdio: "ignore" }).error === undefined;
  if (isInstalled()) return;
  const isRoot = process.getuid?.() === 0;
  if (isRoot && spawnSync("apt-get", ["--version"], { stdio: "ignore" }).error === undefined) {
    say("etcd is not installed: installing it with apt-get");
    const quietly = {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    };
    spawnSync("apt-get", ["update", "-qq"], quietly as object);
    spawnSync("apt-get", ["install", "-y", "-qq", "etcd-server"], quietly as object);
    if (isInstalled()) return;
  }
  throw new CannotStart(
    "etcd is not installed. On Debian and Ubuntu: sudo apt-get install etcd-server; on macOS: brew install etcd; " +
      "elsewhere: https://etcd.io/docs/latest/install/. `make up` runs Ottla in one process and needs none.",
  );
}

async function startEtcd(programs: Programs, directory: string, memberCount: number): Promise<string> {
  const members = Array.from({ length: memberCount }, (_, index) => ({
    name: memberCount === 1 ? "etcd" : `etcd-${index + 1}`,
    client: `http://127.0.0.1:${ETCD_CLIENT_PORT + index}`,
    peer: `http://127.0.0.1:${ETCD_PEER_PORT + index}`,
  }));
  for (const { name, client, peer } of members) {
    programs.start({
      name,
      command: "etcd",
      flags: [
        `--name=${name}`,
        `--data-dir=${join(directory, name)}`,
        `--listen-client-urls=${client}`,
        `--advertise-client-urls=${client}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=${members.map((member) => `${member.name}=${member.peer}`).join(",")}`,
        "--auto-compaction-retention=1h",
        "--logger=zap",
        "--log-level=warn",
      ],
      readyUrl: `${client}/health`,
      // Asked politely, each of three hands its leadership to one that is going too, for
      // seconds and in vain. What it has acknowledged is on disk.
      stopSignal: "SIGKILL",
    });
  }
  await programs.untilReady();
  return members.map(({ client }) => client).join(",");
}

async function startOttla(programs: Programs, directory: string, endpoints: string): Promise<void> {
  const environment = {
    OTTLA_ETCD_ENDPOINTS: endpoints,
    OTTLA_CLUSTER_SECRET_FILE: join(directory, "cluster-secret"),
    OTTLA_LOG_FORMAT: "pretty",
  };
  const serve = (role: string, nodeId: number, httpPort: number, flags: readonly string[]): void => {
    const common = ["serve", `--target=${role}`, `--node-id=${nodeId}`, `--http-port=${httpPort}`];
    programs.start({
      name: `${role}-${nodeId}`,
      command: ottla,
      flags: [...common, ...flags],
      environment,
      readyUrl: `http://127.0.0.1:${httpPort}/readyz`,
    });
  };
  for (const [role, count] of Object.entries(COUNTS)) {
    const httpPorts = await freePorts(count);
    httpPorts.forEach((httpPort, index) => {
      const nodeId = index + 1;
      const stores = role === "partition-storage";
      const data = stores ? [`--data-dir=${join(directory, `storage-${nodeId}`)}`] : [];
      serve(role, nodeId, httpPort, ["--internal-port=0", ...data]);
    });
  }
  GATEWAYS.forEach(({ grpcPort, httpPort, kafkaPort }, index) => {
    // No one address stands before the gateways here, so each is a broker of its own: clients
    // go on with the other when one is killed.
    const kafka = ["--kafka-mode=per-gateway", `--kafka-advertised-address=localhost:${kafkaPort}`];
    serve("gateway", index + 1, httpPort, [`--grpc-port=${grpcPort}`, `--kafka-port=${kafkaPort}`, ...kafka]);
  });
  await programs.untilReady();
}

/** Made once for a data directory: the nodes prove it to one another. */
async function makeSecret(directory: string): Promise<void> {
  const path = join(directory, "cluster-secret");
  if (!(await isThere(path)))
    await writeFile(path, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Data of one member and of three lie side by side: the other number would begin an empty cluster. */
async function checkMembers(directory: string, memberCount: number): Promise<void> {
  const had = (await isThere(join(directory, "etcd")))
    ? 1
    : (await isThere(join(directory, "etcd-1")))
      ? 3
      : 0;
  if (had !== 0 && had !== memberCount) {
    throw new CannotStart(`${directory} holds a cluster with ETCD_MEMBERS=${had}: start it so`);
  }
}

async function checkPorts(memberCount: number): Promise<void> {
  const members = Array.from({ length: memberCount }, (_, index) => index);
  const ports = [
    ...members.flatMap((index) => [ETCD_CLIENT_PORT + index, ETCD_PEER_PORT + index]),
    ...GATEWAYS.flatMap(({ grpcPort, httpPort, kafkaPort }) => [grpcPort, httpPort, kafkaPort]),
  ];
  const taken: number[] = [];
  for (const port of ports) if (!(await isFree(port))) taken.push(port);
  if (taken.length === 0) return;
  const which = taken.length === 1 ? `port ${taken[0]} is` : `ports ${taken.join(", ")} are`;
  throw new CannotStart(
    `${which} taken: is another cluster, or make up, running? PORT_OFFSET=1000 starts this one beside it`,
  );
}

function whatToTry(directory: string, isKept: boolean): string {
  const gateways = GATEWAYS.map(
    ({ grpcPort, httpPort, kafkaPort }, index) =>
      `    gateway-${index + 1}: gRPC localhost:${grpcPort}, Kafka localhost:${kafkaPort}, http://localhost:${httpPort}/metrics`,
  );
  return [
    "",
    "  The cluster is ready. Try in another terminal:",
    "",
    ...(offset === 0 ? [] : [`    export OTTLA_ADDRESS=localhost:${GATEWAYS[0]?.grpcPort}`]),
    "    bin/ottla cluster describe",
    "    bin/ottla topic create hello -p 6",
    "    seq 1 100000 | bin/ottla produce hello",
    `    bin/ottla consume hello -o start -e --address localhost:${GATEWAYS[1]?.grpcPort} | wc -l`,
    "",
    ...gateways,
    "",
    "  Partitions have three replicas, and two of them must be in sync: kill any storage node (bin/ottla cluster describe shows",
    "  who leads now), and start it again with the line that is printed then.",
    `  Data: ${directory}${isKept ? "" : " (removed at the end; DATA_DIR=... keeps it)"}. Ctrl-C stops all that runs here.`,
    "",
  ].join("\n");
}

async function run(): Promise<number> {
  const memberCount = Number(process.env["ETCD_MEMBERS"] ?? "1");
  // etcd takes ETCD_* for settings of its own.
  delete process.env["ETCD_MEMBERS"];
  if (memberCount !== 1 && memberCount !== 3) throw new CannotStart("ETCD_MEMBERS must be 1 or 3");
  if (!Number.isSafeInteger(offset) || offset < 0 || offset > HIGHEST_OFFSET) {
    throw new CannotStart(`PORT_OFFSET must be a number from 0 to ${HIGHEST_OFFSET}`);
  }
  requireEtcd();
  await checkPorts(memberCount);
  const given = process.env["DATA_DIR"];
  const isKept = given !== undefined && given !== "";
  const directory = isKept ? resolve(given) : await mkdtemp(join(tmpdir(), "ottla-cluster-"));
  await mkdir(directory, { recursive: true });
  await checkMembers(directory, memberCount);
  const programs = new Programs(say);
  const stopped = programs.untilSignal();
  try {
    await makeSecret(directory);
    const endpoints = await Promise.race([startEtcd(programs, directory, memberCount), stopped]);
    if (endpoints === undefined) return 0;
    await Promise.race([startOttla(programs, directory, endpoints), stopped]);
    if (!programs.isStopping) say(whatToTry(directory, isKept));
    await stopped;
    return 0;
  } finally {
    await programs.stop();
    if (!isKept) await rm(directory, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await run();
} catch (thrown) {
  process.stderr.write(`make cluster: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
  process.exitCode = thrown instanceof CannotStart ? 69 : 1;
}
