import { DiskError } from "./disk.ts";
import { parentDirectory } from "./durable-file.ts";
import {
  type CrashReport,
  choose,
  MemoryDiskContent,
  type Side,
  type Unsynced,
} from "./memory-disk-content.ts";
import type { Random } from "./random.ts";

export interface FileNode {
  readonly kind: "file";
  readonly content: MemoryDiskContent;
  modifiedMs: number;
  /** Whether a directory names it; an open file lives on without. */
  linked: boolean;
  openHandles: number;
}

export interface DirectoryNode {
  readonly kind: "directory";
  readonly modifiedMs: number;
  /** As programs see them. */
  entries: Map<string, Node>;
  /** As they lie on the platter. */
  readonly durable: Map<string, Node>;
}

export type Node = FileNode | DirectoryNode;

interface Effect {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly node: Node | undefined;
}

/**
 * A creation, renaming or removal. It happens whole or not at all, and is durable when no
 * directory is awaited.
 */
interface Operation {
  readonly effects: readonly Effect[];
  readonly awaited: Set<DirectoryNode>;
}

/** The directories of a memory disk, with a journal of the operations that no directory sync covers yet. */
export class MemoryDiskTree {
  readonly #root: DirectoryNode = newDirectory(0);
  readonly #onUnlinked: (file: FileNode) => void;
  #journal: Operation[] = [];
  /** Names of directories that checks inspect, again and again. */
  readonly #inspected = new Map<string, readonly string[]>();

  /** `onUnlinked` hears of each file that no directory names any more. */
  constructor(onUnlinked: (file: FileNode) => void) {
    this.#onUnlinked = onUnlinked;
  }

  find(path: string): Node | undefined {
    let node: Node = this.#root;
    for (const name of namesIn(path)) {
      const next: Node | undefined = node.kind === "directory" ? node.entries.get(name) : undefined;
      if (next === undefined) return undefined;
      node = next;
    }
    return node;
  }

  /** The directory at the path; `what` is being tried. */
  directory(path: string, what: string): DirectoryNode {
    let node: DirectoryNode = this.#root;
    for (const name of namesIn(path)) {
      const next = node.entries.get(name);
      if (next === undefined) throw new DiskError("ENOENT", path, `cannot ${what}`);
      if (next.kind === "file") throw new DiskError("EOTHER", path, `cannot ${what}: not a directory`);
      node = next;
    }
    return node;
  }

  createFile(path: string, nowMs: number): FileNode {
    const parent = this.directory(parentDirectory(path), "create the file");
    const node: FileNode = {
      kind: "file",
      content: new MemoryDiskContent(),
      modifiedMs: nowMs,
      linked: false,
      openHandles: 0,
    };
    this.#perform([{ directory: parent, name: nameOf(path), node }]);
    return node;
  }

  makeDirectory(path: string, nowMs: number): void {
    let node = this.#root;
    const names = namesIn(path);
    for (const [index, name] of names.entries()) {
      let next = node.entries.get(name);
      if (next?.kind === "file") {
        const code = index === names.length - 1 ? "EEXIST" : "EOTHER";
        throw new DiskError(code, path, "cannot make the directory: a file is in the way");
      }
      if (next === undefined) {
        next = newDirectory(nowMs);
        this.#perform([{ directory: node, name, node: next }]);
      }
      node = next;
    }
  }

  rename(from: string, to: string): void {
    const what = `rename to ${to}`;
    const source = this.directory(parentDirectory(from), what);
    const target = this.directory(parentDirectory(to), what);
    const node = source.entries.get(nameOf(from));
    if (node === undefined) throw new DiskError("ENOENT", from, `cannot ${what}`);
    if (`${to}/`.startsWith(`${from}/`) && to !== from) {
      throw new DiskError("EOTHER", from, `cannot ${what}: it lies inside`);
    }
    if (from.startsWith(`${to}/`)) throw new DiskError("ENOTEMPTY", from, `cannot ${what}`);
    const replaced = target.entries.get(nameOf(to));
    if (replaced === node) return;
    if (replaced !== undefined) refuseReplacing(from, what, node, replaced);
    this.#perform([
      { directory: source, name: nameOf(from), node: undefined },
      { directory: target, name: nameOf(to), node },
    ]);
  }

  removeFile(path: string): void {
    const node = this.find(path);
    if (node === undefined) return;
    if (node.kind === "directory") {
      throw new DiskError("EOTHER", path, "cannot remove: it is a directory");
    }
    const parent = this.directory(parentDirectory(path), "remove");
    this.#perform([{ directory: parent, name: nameOf(path), node: undefined }]);
  }

  removeDirectory(path: string): void {
    const node = this.find(path);
    if (node === undefined) return;
    if (node.kind === "file") {
      throw new DiskError("EOTHER", path, "cannot remove the directory: it is a file");
    }
    const parent = this.directory(parentDirectory(path), "remove the directory");
    // All of it awaits the parent only: once that is synced, nobody can reach (or sync) what was below.
    const awaited = [parent];
    const empty = (directory: DirectoryNode) => {
      for (const [name, child] of directory.entries) {
        if (child.kind === "directory") empty(child);
        this.#perform([{ directory, name, node: undefined }], awaited);
      }
    };
    empty(node);
    this.#perform([{ directory: parent, name: nameOf(path), node: undefined }], awaited);
  }

  /** Starts a sync of the operations made so far; the result ends it. */
  startSync(directory: DirectoryNode): () => void {
    const covered = new Set(this.#journal);
    return () => {
      for (const operation of covered) operation.awaited.delete(directory);
      this.#foldJournal();
    };
  }

  /** Leaves what a power cut leaves of the directories; the report counts operations. */
  crash(unsynced: Unsynced, random: Random): CrashReport {
    const chosen = new Set(choose(this.#journal, unsynced, random));
    const needed = new Map<DirectoryNode, Set<string>>();
    // From the last to the first: whoever survives needs the earlier operations on the same names.
    const survivors: Operation[] = [];
    for (const operation of this.#journal.toReversed()) {
      const isNeeded = operation.effects.some((effect) => needed.get(effect.directory)?.has(effect.name));
      if (operation.awaited.size > 0 && !chosen.has(operation) && !isNeeded) continue;
      for (const effect of operation.effects) touch(needed, effect);
      survivors.unshift(operation);
    }
    for (const operation of survivors) makeDurable(operation);
    const lost = this.#journal.length - survivors.length;
    this.#journal = [];
    showDurable(this.#root);
    return { kept: survivors.length, lost, torn: 0 };
  }

  /** The names in a directory and what they stand for, as programs see them or as a power cut leaves them. */
  inspect(path: string, side: Side): ReadonlyMap<string, Node> {
    let node: DirectoryNode = this.#root;
    let names = this.#inspected.get(path);
    if (names === undefined) {
      names = namesIn(path);
      this.#inspected.set(path, names);
    }
    for (const name of names) {
      const next = (side === "visible" ? node.entries : node.durable).get(name);
      if (next?.kind !== "directory") return new Map();
      node = next;
    }
    return side === "visible" ? node.entries : node.durable;
  }

  /** All files that a directory names. */
  *files(directory: DirectoryNode = this.#root): Generator<FileNode> {
    for (const node of directory.entries.values()) {
      if (node.kind === "file") yield node;
      else yield* this.files(node);
    }
  }

  /** Takes what has become durable out of the journal. */
  #foldJournal(): void {
    const blocked = new Map<DirectoryNode, Set<string>>();
    this.#journal = this.#journal.filter((operation) => {
      // A later operation on a name must not overtake an earlier one that waits for a second directory.
      const isBlocked = operation.effects.some((effect) => blocked.get(effect.directory)?.has(effect.name));
      if (operation.awaited.size === 0 && !isBlocked) {
        makeDurable(operation);
        return false;
      }
      for (const effect of operation.effects) touch(blocked, effect);
      return true;
    });
  }

  #perform(effects: Effect[], awaited: DirectoryNode[] = effects.map((effect) => effect.directory)): void {
    const touched = new Set<FileNode>();
    for (const { directory, name, node } of effects) {
      const before = directory.entries.get(name);
      if (before?.kind === "file") touched.add(before);
      if (before?.kind === "file") before.linked = false;
      if (node === undefined) directory.entries.delete(name);
      else directory.entries.set(name, node);
    }
    for (const { node } of effects) if (node?.kind === "file") node.linked = true;
    this.#journal.push({ effects, awaited: new Set(awaited) });
    for (const file of touched) if (!file.linked) this.#onUnlinked(file);
  }
}

function newDirectory(modifiedMs: number): DirectoryNode {
  return { kind: "directory", modifiedMs, entries: new Map(), durable: new Map() };
}

function makeDurable(operation: Operation): void {
  for (const { directory, name, node } of operation.effects) {
    if (node === undefined) directory.durable.delete(name);
    else directory.durable.set(name, node);
  }
}

function showDurable(directory: DirectoryNode): void {
  directory.entries = new Map(directory.durable);
  for (const node of directory.entries.values()) {
    if (node.kind === "directory") showDurable(node);
    else node.linked = true;
  }
}

function touch(names: Map<DirectoryNode, Set<string>>, effect: Effect): void {
  const known = names.get(effect.directory);
  if (known === undefined) names.set(effect.directory, new Set([effect.name]));
  else known.add(effect.name);
}

function refuseReplacing(from: string, what: string, node: Node, replaced: Node): void {
  if (node.kind !== replaced.kind) {
    throw new DiskError("EOTHER", from, `cannot ${what}: a ${replaced.kind} of that name is there`);
  }
  if (replaced.kind === "directory" && replaced.entries.size > 0) {
    throw new DiskError("ENOTEMPTY", from, `cannot ${what}`);
  }
}

function namesIn(path: string): string[] {
  if (!path.startsWith("/")) throw new DiskError("EOTHER", path, "the path is not absolute");
  return path.split("/").filter((name) => name !== "");
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
