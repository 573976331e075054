import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePorts, Programs } from "./programs.ts";

/**
 * `make cluster`: a whole Ottla of many processes on this machine, in the foreground,
 * over a real etcd. Ctrl-C stops all of it in order. Environment: DATA_DIR keeps the data
 * there (else it is fresh, and removed at the end), ETCD_MEMBERS is 1 or 3.
 */

const root = resolve(import.meta.dirname, "..");
const ottla = join(root, "bin/ottla");

/** Fixed, so that members find one another when they start again on their data. */
const ETCD_CLIENT_PORT = 23_790;
const ETCD_PEER_PORT = 23_800;

/** The first gateway has the ports that all examples use. */
const GATEWAYS = [
  { grpcPort: 50_051, httpPort: 8_080, kafkaPort: 9_092 },
  { grpcPort: 50_061, httpPort: 8_081, kafkaPort: 9_093 },
];
const COUNTS = { coordinator: 2, "partition-storage": 3, "group-coordinator": 2 };

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

class CannotStart extends Error {}

/** Makes sure that etcd is there; installs it where that takes no question. */
function requireEtcd(): void {
  const isThere = (): boolean => spawnSync("etcd", ["--version"], { stdio: "ignore" }).error === undefined;
  if (isThere()) return;
  const isRoot = process.getuid?.() === 0;
  if (isRoot && spawnSync("apt-get", ["--version"], { stdio: "ignore" }).error === undefined) {
    say("etcd is not installed: installing it with apt-get");
    const quietly = {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    };
    spawnSync("apt-get", ["update", "-qq"], quietly as object);
    spawnSync("apt-get", ["install", "-y", "-qq", "etcd-server"], quietly as object);
    if (isThere()) return;
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
    serve("gateway", index + 1, httpPort, [`--grpc-port=${grpcPort}`, `--kafka-port=${kafkaPort}`]);
  });
  await programs.untilReady();
}

/** Made once for a data directory: the nodes prove it to one another. */
async function makeSecret(directory: string): Promise<void> {
  const path = join(directory, "cluster-secret");
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists) await writeFile(path, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
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
    "    bin/ottla cluster describe",
    "    bin/ottla topic create hello -p 6",
    "    seq 1 100000 | bin/ottla produce hello",
    `    bin/ottla consume hello -o start -e --address localhost:${GATEWAYS[1]?.grpcPort} | wc -l`,
    "",
    ...gateways,
    "",
    "  Partitions have three replicas, and two of them must be in sync: kill any storage node (bin/ottla cluster describe shows",
    "  who leads now), and start it again with the line that is printed then.",
    `  Data: ${directory}${isKept ? "" : " (removed at the end; DATA_DIR=... keeps it)"}. Ctrl-C stops everything.`,
    "",
  ].join("\n");
}

async function run(): Promise<number> {
  const memberCount = Number(process.env["ETCD_MEMBERS"] ?? "1");
  if (memberCount !== 1 && memberCount !== 3) throw new CannotStart("ETCD_MEMBERS must be 1 or 3");
  requireEtcd();
  const given = process.env["DATA_DIR"];
  const isKept = given !== undefined && given !== "";
  const directory = isKept ? resolve(given) : await mkdtemp(join(tmpdir(), "ottla-cluster-"));
  await mkdir(directory, { recursive: true });
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
