import type { Group } from "./group.ts";
import type { DescribedGroup } from "./group-membership.ts";
import type { GroupTable } from "./group-table.ts";

/** Throws GROUP_ID_NOT_FOUND. */
export function describeGroup(table: GroupTable, groupId: string): DescribedGroup {
  return table.get(groupId).membership.describe();
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

function listed({ groupId, membership }: Group): ListedGroup {
  const { protocolType, state, type } = membership;
  return { groupId, protocolType, state, type };
}

function lowerCased(texts: readonly string[]): ReadonlySet<string> {
  return new Set(texts.map((text) => text.toLowerCase()));
}
