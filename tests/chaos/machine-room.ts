import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Random } from "@ottla/runtime";
import { type Machine, THIS_MACHINE } from "../support/machine.ts";

const run = promisify(execFile);

/** Nobody has this address: a bridge hands on what is sent there, and every machine passes over it. */
const NOBODY = "02:00:00:00:00:01";
/** The name of where the clients and the test itself are: outside, at the bridge. */
export const CLIENTS = "clients";

/**
 * Machines of a test: network namespaces on one bridge, each with an address of its own. What one sends to
 * another can be swallowed, pair by pair and direction by direction, without a packet filter: the sender is
 * made to believe in a wrong hardware address.
 */
export class MachineRoom {
  readonly #prefix: string;
  readonly #network: string;
  readonly #hosts = new Map<string, string>();

  private constructor(prefix: string, network: string) {
    this.#prefix = prefix;
    this.#network = network;
    this.#hosts.set(CLIENTS, `${network}.254`);
  }

  /** Undefined where this user or kernel may not make namespaces. */
  static async open(random: Random): Promise<MachineRoom | undefined> {
    const prefix = `ott${random.integer(36 ** 4).toString(36)}`;
    const room = new MachineRoom(prefix, `10.${64 + random.integer(64)}.${random.integer(256)}`);
    try {
      await room.#ip(`link add ${prefix}b type bridge`);
      await room.#ip(`addr add ${room.#network}.254/24 dev ${prefix}b`);
      await room.#ip(`link set ${prefix}b up`);
      await room.add("trial");
      await run("nsenter", [`--net=/run/netns/${prefix}-trial`, "true"]);
      return room;
    } catch {
      await room.close();
      return undefined;
    }
  }

  async add(name: string): Promise<Machine> {
    const number = this.#hosts.size;
    const host = `${this.#network}.${number}`;
    const namespace = this.#namespace(name);
    this.#hosts.set(name, host);
    const port = `${this.#prefix}${number}`;
    await this.#ip(`netns add ${namespace}`);
    await this.#ip(`link add ${port} type veth peer name eth0 netns ${namespace}`);
    await this.#ip(`link set ${port} master ${this.#prefix}b up`);
    await this.#ip(`-n ${namespace} addr add ${host}/24 dev eth0`);
    await this.#ip(`-n ${namespace} link set eth0 up`);
    await this.#ip(`-n ${namespace} link set lo up`);
    return { host, launcher: ["nsenter", `--net=/run/netns/${namespace}`] };
  }

  /** From now on, what the ones send to the others is swallowed. Resolves with what ends that. */
  async swallow(from: readonly string[], to: readonly string[]): Promise<() => Promise<void>> {
    const pairs = from.flatMap((sender) => to.map((receiver) => ({ sender, receiver })));
    const each = (command: (host: string, device: string) => string) => async (): Promise<void> => {
      for (const { sender, receiver } of pairs) {
        if (sender === receiver) continue;
        const device = sender === CLIENTS ? `${this.#prefix}b` : "eth0";
        const where = sender === CLIENTS ? "" : `-n ${this.#namespace(sender)} `;
        await this.#ip(`${where}${command(this.#host(receiver), device)}`);
      }
    };
    await each((host, device) => `neigh replace ${host} lladdr ${NOBODY} nud permanent dev ${device}`)();
    return each((host, device) => `neigh del ${host} dev ${device}`);
  }

  async close(): Promise<void> {
    for (const name of this.#hosts.keys()) {
      if (name !== CLIENTS) await this.#ip(`netns del ${this.#namespace(name)}`).catch(() => undefined);
    }
    await this.#ip(`link del ${this.#prefix}b`).catch(() => undefined);
  }

  #namespace(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  #host(name: string): string {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`there is no machine ${name}`);
    return host;
  }

  async #ip(command: string): Promise<void> {
    await run("ip", command.split(" "));
  }
}

/** The machine to use where there is no room for one of its own. */
export async function machineFor(room: MachineRoom | undefined, name: string): Promise<Machine> {
  return room === undefined ? THIS_MACHINE : room.add(name);
}
