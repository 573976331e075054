import type { HttpAnswer, HttpRoute } from "@ottla/runtime";

/** What a node hands on before it is stopped. */
export interface HandedOn {
  readonly moved: number;
  readonly left: number;
}

/** Browsers ask before they send a header of their own: no page in one can make a node hand on its work. */
export const PRESTOP_HEADER = "ottla-prestop";

/**
 * What Kubernetes' preStop asks for, through `ottla prestop` within the pod: that leaderships are handed on
 * before the node is told to stop. Answers when that is done. Only this host is heard.
 */
export class PreStop {
  #handOn: (() => Promise<HandedOn>) | undefined;
  #running: Promise<HandedOn> | undefined;

  /** From here on the node has something to hand on. */
  set(handOn: () => Promise<HandedOn>): void {
    this.#handOn = handOn;
  }

  readonly route: HttpRoute = {
    path: "/prestop",
    handle: async ({ headers, isLocal }) => {
      if (!isLocal || headers[PRESTOP_HEADER] === undefined) {
        return answer(403, { error: "only `ottla prestop` on the node's own host is heard" });
      }
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined;
      });
      return answer(200, await this.#running);
    },
  };

  #run(): Promise<HandedOn> {
    return this.#handOn?.() ?? Promise.resolve({ moved: 0, left: 0 });
  }
}

function answer(status: number, content: object): HttpAnswer {
  return { status, contentType: "application/json; charset=utf-8", body: `${JSON.stringify(content)}\n` };
}
