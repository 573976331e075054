import { OttlaError } from "@ottla/errors";
import type { Clock, Logger } from "@ottla/runtime";
import { SUPPORTED_LEVELS } from "./feature-levels.ts";
import { HeldNodeId, type OnHeld } from "./held-node-id.ts";
import type { MetadataKeys } from "./keys.ts";
import { acquireLeasedKey } from "./leased-key.ts";
import type { KeyValue, Lease, MetadataStore, Revision } from "./metadata-store.ts";
import type { ValueCodec } from "./value-parser.ts";
import {
  type ControllerState,
  controllerStateCodec,
  type NodeRegistration,
  nodeRegistrationCodec,
} from "./values.ts";

export interface HoldOptions {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal?: AbortSignal;
}

export interface RegisteredNode {
  /** When it is lost, the node is no longer registered: it registers again, and gets a new nodeEpoch. */
  readonly lease: Lease;
  /** New for each registration. */
  readonly nodeEpoch: number;
}

/**
 * Registers a node under a lease. A registration of the same node id that still stands is waited out; it is
 * taken over at once when it carries the same directory id, since only one process can hold that directory's
 * lock. A copy of a directory is told from it by its clean-shutdown mark, where that is older than the
 * holder. Rejects only when the signal aborts, and with INVALID_DATA_DIRECTORY for such a copy. Unless the
 * registration says otherwise the node is of this program's feature levels.
 */
export async function registerNode(
  options: HoldOptions & { readonly registration: NodeRegistration; readonly onHeld?: OnHeld },
): Promise<RegisteredNode> {
  const { registration, keys, clock } = options;
  const held = new HeldNodeId(options);
  const { lease, createRevision } = await acquireLeasedKey({
    ...options,
    key: keys.node(registration.role, registration.nodeId),
    value: () =>
      nodeRegistrationCodec.encode({
        minFeatureLevel: SUPPORTED_LEVELS.min,
        maxFeatureLevel: SUPPORTED_LEVELS.max,
        registeredAtMs: clock.now(),
        ...registration,
      }),
    isOwn: (entry) => parsed(nodeRegistrationCodec, entry)?.incarnation === registration.incarnation,
    mayTakeOver: (entry) => hasSameDirectory(registration, entry) && !isOlderCopy(registration, entry),
    onHeld: (entry) => {
      const holder = parsed(nodeRegistrationCodec, entry);
      if (hasSameDirectory(registration, entry)) throw copyInUse(registration, holder);
      held.noteHolder(entry, holder);
    },
  });
  held.noteFree();
  return { lease, nodeEpoch: createRevision };
}

function hasSameDirectory({ directoryId }: NodeRegistration, entry: KeyValue): boolean {
  return directoryId !== "" && parsed(nodeRegistrationCodec, entry)?.directoryId === directoryId;
}

/** Whoever stopped cleanly was not registered any more: a later registration is of another process (R9). */
function isOlderCopy({ cleanShutdownNodeEpoch }: NodeRegistration, entry: KeyValue): boolean {
  return cleanShutdownNodeEpoch >= 0 && cleanShutdownNodeEpoch < entry.createRevision;
}

function copyInUse({ nodeId }: NodeRegistration, holder: NodeRegistration | undefined): OttlaError {
  return new OttlaError(
    "INVALID_DATA_DIRECTORY",
    `the data directory is a copy of the one with which ${holder?.addresses[0] ?? "another process"} runs as node ` +
      `${nodeId}: start a node of another id with an empty directory`,
    { metadata: { field: "dataDir" } },
  );
}

export interface Election {
  /** When it is lost, so is the office. Revoking it hands the office on at once. */
  readonly lease: Lease;
  /** The create revision of the election key: what `FencedWriter` compares (R1). */
  readonly term: Revision;
}

/** Waits until this coordinator is the elected one. Rejects only when the signal aborts. */
export async function campaign(
  options: HoldOptions & { readonly candidate: ControllerState },
): Promise<Election> {
  const { candidate, keys } = options;
  const { lease, createRevision } = await acquireLeasedKey({
    ...options,
    key: keys.controller,
    value: () => controllerStateCodec.encode(candidate),
    isOwn: (entry) => parsed(controllerStateCodec, entry)?.incarnation === candidate.incarnation,
    mayTakeOver: () => false,
  });
  return { lease, term: createRevision };
}

function parsed<T>(codec: ValueCodec<T>, entry: KeyValue): T | undefined {
  try {
    return codec.parse(entry.value, entry.key);
  } catch {
    // A value of a version that this one does not understand is somebody else's.
    return undefined;
  }
}
