import type { Group } from "./group.ts";
import type { GroupTable } from "./group-table.ts";

export interface DescribedGroup {
  readonly type: string;
  readonly state: string;
  readonly protocolType: string;
  readonly protocol: string;
  readonly generation: number;
  readonly members: readonly DescribedMember[];
}

export interface DescribedMember {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly clientId: string;
  readonly clientHost: string;
  readonly metadata: Uint8Array;
  readonly assignment: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/** Throws GROUP_ID_NOT_FOUND. What members say and got is shown where the group agrees on it. */
export function describeGroup(table: GroupTable, groupId: string): DescribedGroup {
  const { classic } = table.get(groupId);
  const isStable = classic.state === "Stable";
  return {
    type: "classic",
    state: classic.state,
    protocolType: classic.protocolType ?? "",
    protocol: isStable ? (classic.protocolName ?? "") : "",
    generation: classic.generation,
    members: classic.members().map((member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      metadata: isStable ? member.metadataFor(classic.protocolName) : NO_BYTES,
      assignment: isStable ? member.assignment : NO_BYTES,
    })),
  };
}

export interface ListedGroup {
  readonly groupId: string;
  readonly protocolType: string;
  readonly state: string;
  readonly type: string;
}

/** The groups of a table in one of the states and of one of the types; empty lists mean any. */
export function listGroups(
  table: GroupTable,
  states: readonly string[],
  types: readonly string[],
): ListedGroup[] {
  const wantedStates = lowerCased(states);
  const wantedTypes = lowerCased(types);
  return [...table.groups()].map(listed).filter(({ state, type }) => {
    const isState = wantedStates.size === 0 || wantedStates.has(state.toLowerCase());
    return isState && (wantedTypes.size === 0 || wantedTypes.has(type.toLowerCase()));
  });
}

function listed({ groupId, classic }: Group): ListedGroup {
  return { groupId, protocolType: classic.protocolType ?? "", state: classic.state, type: "classic" };
}

function lowerCased(texts: readonly string[]): ReadonlySet<string> {
  return new Set(texts.map((text) => text.toLowerCase()));
}
