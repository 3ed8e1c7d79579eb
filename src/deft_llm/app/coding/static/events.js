// The coder's events with undo, FACS notation, and what became of deft's proposals.

export const SIDES = ["both", "left", "right", "asymmetric"];
export const INTENSITIES = ["A", "B", "C", "D", "E"];
const FIELDS = ["au", "side", "phase", "onset", "apex", "offset"];
const SIDE_OF = { "": "both", B: "both", L: "left", R: "right", A: "asymmetric" };
const SHORT = { both: "", left: "L", right: "R", asymmetric: "A" };
let counter = 0;

// "L12C+1+2", "-12" (a release): one entry for each; null where it is no FACS notation or no known code.
export function parseCodes(text, known) {
  const found = [];
  for (const part of text.toUpperCase().replaceAll("−", "-").split(/[+,\s]+/).filter(Boolean)) {
    const match = /^(-?)([LRAB]?)(?:AU|AD|M)?(\d{1,2})([A-E]?)$/.exec(part);
    if (!match || !(Number(match[3]) in known)) return null;
    found.push({
      au: Number(match[3]), side: SIDE_OF[match[2]], intensity: match[4] || null,
      phase: match[1] ? "release" : "rise",
    });
  }
  return found.length ? found : null;
}

// "L12C", "-L12": as FACS coders write it, with a minus for a release.
export const codeOf = (event) =>
  `${event.phase === "release" ? "−" : ""}${SHORT[event.side]}${event.au ?? "?"}${event.intensity ?? ""}`;

export const nameOf = (event) =>
  event.au === null ? "unnamed movement" : `AU${event.au} ${event.side}${event.phase === "release" ? ", release" : ""}`;

// Which proposal an event came from: its note begins with "deft 3.1".
export const proposalOf = (event) => /^deft ((?:lid )?\d+(?:\.\d+)?)(?:;|$)/.exec(event.note ?? "")?.[1] ?? null;
export const freeNote = (event) => (proposalOf(event) ? event.note.replace(/^deft [^;]*;? ?/, "") : event.note);
const noteWith = (id, text) => (text ? `deft ${id}; ${text}` : `deft ${id}`);

export class EventList {
  constructor(onChange) {
    this.onChange = onChange;
    this.load([], [], []);
  }

  // dismissed: ids of unnamed movements that the coder has put aside; they are no events of anybody.
  load(events, proposals, dismissed) {
    this.proposals = proposals;
    this.events = [
      ...events.map((event) => ({ ...event, id: ++counter })),
      ...dismissed.map((id) => ({ status: "dismissed", note: noteWith(id, ""), id: ++counter })),
    ];
    this.past = [];
    this.future = [];
  }

  get shown() {
    return this.events.filter((event) => !["rejected", "dismissed"].includes(event.status));
  }

  // Proposals about which the coder has not decided.
  get open() {
    const decided = new Set(this.events.map(proposalOf).filter(Boolean));
    return this.proposals.filter((one) => !decided.has(one.id));
  }

  find(id) {
    return this.events.find((event) => event.id === id) ?? null;
  }

  set(events) {
    this.past.push(this.events);
    if (this.past.length > 500) this.past.shift();
    this.future = [];
    this.events = events;
    this.onChange();
  }

  replace(events) {
    const aside = this.events.filter((event) => event.status === "dismissed");
    this.set([...events.map((event) => ({ ...event, id: ++counter })), ...aside]);
  }

  add(list) {
    const made = list.map((fields) => ({
      side: "both", phase: "rise", apex: null, intensity: null, face: 1, status: "coded", note: "", ...fields,
      id: ++counter,
    }));
    this.set([...this.events, ...made]);
    return made;
  }

  change(id, fields) {
    const old = this.find(id);
    if (!old || Object.entries(fields).every(([key, value]) => old[key] === value)) return;
    const next = { ...old, ...fields };
    next.status = this.statusOf(next);
    this.set(this.events.map((event) => (event.id === id ? next : event)));
  }

  // The same change of several events, undone at once.
  changeAll(ids, fieldsOf) {
    this.set(this.events.map((event) => {
      if (!ids.includes(event.id)) return event;
      const next = { ...event, ...fieldsOf(event) };
      return { ...next, status: this.statusOf(next) };
    }));
  }

  setNote(id, text) {
    const ref = proposalOf(this.find(id));
    this.change(id, { note: ref ? noteWith(ref, text) : text });
  }

  statusOf(event) {
    const proposal = this.proposals.find((one) => one.id === proposalOf(event));
    if (!proposal) return event.status === "rejected" ? "rejected" : proposalOf(event) ? event.status : "coded";
    return FIELDS.every((key) => event[key] === proposal[key]) ? "accepted" : "corrected";
  }

  // A proposal taken over, with changes where the coder made some.
  accept(proposal, changes = {}) {
    const taken = Object.fromEntries([...FIELDS, "face"].map((key) => [key, proposal[key]]));
    const event = {
      intensity: null, ...taken, ...changes, note: noteWith(proposal.id, ""), status: "accepted", id: ++counter,
    };
    event.status = this.statusOf(event);
    this.set([...this.events, event]);
    return event;
  }

  reject(proposal) {
    const kept = Object.fromEntries([...FIELDS, "face"].map((key) => [key, proposal[key]]));
    const status = proposal.au === null ? "dismissed" : "rejected";
    this.set([...this.events, { intensity: null, ...kept, note: noteWith(proposal.id, ""), status, id: ++counter }]);
  }

  // An own event goes; one that came of a proposal is kept as rejected.
  remove(id) {
    const event = this.find(id);
    if (!event) return;
    const rest = this.events.filter((one) => one.id !== id);
    this.set(proposalOf(event) ? [...rest, { ...event, status: "rejected" }] : rest);
  }

  // What was rejected is undecided again: its proposal is open, or the event, which came of none, is coded.
  reopen(event) {
    const ref = proposalOf(event);
    if (ref === null) this.change(event.id, { status: "coded" });
    else this.set(this.events.filter((one) => proposalOf(one) !== ref));
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.events);
    this.events = this.past.pop();
    this.onChange();
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.events);
    this.events = this.future.pop();
    this.onChange();
    return true;
  }

  forServer() {
    const kept = this.events.filter((event) => event.status !== "dismissed");
    return {
      events: kept.map(({ id, ...event }) => event),
      dismissed: this.events.filter((event) => event.status === "dismissed").map(proposalOf),
    };
  }
}

// The three points after one of them was set to a frame: they stay in order.
export function moved(event, point, frame) {
  let { onset, apex, offset } = event;
  if (point === "onset") {
    onset = frame;
    if (apex !== null) apex = Math.max(apex, frame);
    offset = Math.max(offset, frame);
  } else if (point === "offset") {
    offset = frame;
    if (apex !== null) apex = Math.min(apex, frame);
    onset = Math.min(onset, frame);
  } else if (frame === null) {
    apex = null;
  } else {
    apex = frame;
    onset = Math.min(onset, frame);
    offset = Math.max(offset, frame);
  }
  return { onset, apex, offset };
}
