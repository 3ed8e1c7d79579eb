// Time from left to right: a tier for each AU and side with events and proposals, AU curves under them.

import { codeOf, moved, nameOf } from "./events.js";

const SVG = "http://www.w3.org/2000/svg";
const STEPS = [0.04, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
const LANE = 22; // px
const LEAST_TICK = 64; // px between two times of the ruler
const CURVE_FROM = 0.8; // intensity from which a unit that nobody named has a curve
const SIDE_ORDER = ["both", "left", "right", "asymmetric"];
const POINTS = ["onset", "apex", "offset"];

const make = (tag, className, parent, text) => {
  const node = document.createElement(tag);
  node.className = className;
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
};

const shape = (name, attributes, parent) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
};

export class Timeline {
  // actions: seek(frame), select(item), change(event, fields), accept(proposal, fields), add(au, side, frame)
  constructor(root, actions) {
    Object.assign(this, { root, actions, scale: 1, clip: null, drag: null });
    this.scroll = make("div", "tl-scroll", root);
    this.scroll.tabIndex = -1;
    this.body = make("div", "tl-body", this.scroll);
    this.head = make("i", "playhead", this.body);
    new ResizeObserver(() => this.clip && this.layout()).observe(root);
    root.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 300));
    }, { passive: false });
    this.body.addEventListener("pointerdown", (event) => this.press(event));
    this.body.addEventListener("dblclick", (event) => {
      const tier = event.target.closest?.(".tier-track");
      if (tier?.dataset.au && !event.target.closest(".ev")) {
        this.actions.add(Number(tier.dataset.au), tier.dataset.side, this.frameAt(event.clientX));
      }
    });
  }

  open(clip) {
    this.clip = clip;
    this.zoom = 1;
    this.scroll.scrollLeft = 0;
  }

  get labels() {
    return this.root.clientWidth < 560 ? 64 : 108;
  }

  zoomBy(factor) {
    const before = this.clip.index ?? 0;
    this.zoom = Math.max(1, Math.min(400, this.zoom * factor));
    this.layout();
    const at = this.x(before);
    this.scroll.scrollLeft = at - this.scroll.clientWidth / 2;
  }

  x(frame) {
    return this.labels + (frame + 0.5) * this.scale;
  }

  frameAt(clientX) {
    const box = this.body.getBoundingClientRect();
    const frame = Math.floor((clientX - box.left - this.labels) / this.scale);
    return Math.max(0, Math.min(this.clip.frames - 1, frame));
  }

  // items: {events, proposals, theirs}; selected: the item that is chosen.
  show(items, selected, curves) {
    const other = selected?.key !== this.selected?.key;
    Object.assign(this, { items, selected, curves });
    this.layout();
    if (other) this.body.querySelector(".ev[aria-pressed=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  layout() {
    if (!this.items) return;
    const room = Math.max(120, this.scroll.clientWidth - this.labels - 14);
    this.scale = (room / this.clip.frames) * this.zoom;
    this.body.style.width = `${this.labels + this.clip.frames * this.scale + 14}px`;
    this.body.style.setProperty("--labels", `${this.labels}px`);
    const rows = document.createDocumentFragment();
    this.ruler(rows);
    for (const row of this.rows()) this.tier(row, rows);
    this.body.replaceChildren(rows, this.head);
    this.place(this.clip.index ?? 0);
  }

  // Tiers by AU and side, an AU's curve after its tiers, movements without a name first.
  rows() {
    const all = [...this.items.events, ...this.items.proposals, ...this.items.theirs];
    const coded = [...new Set(all.map((item) => item.au).filter((au) => au !== null))].sort((a, b) => a - b);
    const moving = Object.entries(this.curves?.aus ?? {}).filter(([au, curve]) => !coded.includes(Number(au))
      && Math.max(...curve.left, ...curve.right) > Math.max(CURVE_FROM, 2 * curve.floor)).map(([au]) => Number(au));
    const rows = [];
    const unnamed = all.filter((item) => item.au === null);
    if (unnamed.length) rows.push({ label: "unnamed", items: unnamed });
    const words = this.labels < 80 ? { both: "", left: "L", right: "R", asymmetric: "A" } : { asymmetric: "asym." };
    for (const au of [...coded, ...moving]) {
      for (const side of SIDE_ORDER) {
        const own = all.filter((item) => item.au === au && item.side === side);
        if (own.length) rows.push({ label: `AU${au} ${words[side] ?? side}`, au, side, items: own });
      }
      if (this.curves?.aus[au]) rows.push({ label: coded.includes(au) ? "" : `AU${au}`, au, curve: this.curves.aus[au] });
    }
    return rows;
  }

  ruler(parent) {
    const row = make("div", "tl-row ruler", parent);
    make("span", "tl-label", row, this.labels < 80 ? "s" : "seconds");
    const track = make("div", "tier-track", row);
    const perSecond = this.scale * this.clip.fps;
    const step = STEPS.find((one) => one * perSecond >= LEAST_TICK) ?? 1200;
    const end = this.clip.frames / this.clip.fps;
    for (let i = 0; i * step <= end; i++) {
      const mark = make("span", "tick", track, `${Number((i * step).toFixed(2))}`);
      mark.style.left = `${i * step * perSecond}px`;
    }
    for (const event of this.items.bands ?? []) {
      const band = make("i", "band", track);
      band.title = `${event.kind}${event.detail ? `: ${event.detail}` : ""}`;
      this.span(band, event.onset, event.offset ?? event.onset);
    }
  }

  span(node, first, last) {
    node.style.left = `${first * this.scale}px`;
    node.style.width = `${Math.max((last - first + 1) * this.scale, 3)}px`;
  }

  tier(row, parent) {
    const node = make("div", `tl-row${row.curve ? " curve-row" : ""}`, parent);
    const label = make("span", "tl-label", node, row.label);
    label.title = this.clip.names[row.au] ?? "movements whose AU deft cannot tell";
    const track = make("div", "tier-track", node);
    if (row.au !== undefined) track.dataset.au = row.au;
    track.dataset.side = row.side ?? "both";
    if (row.curve) this.curve(row.curve, track);
    const lanes = []; // of blocks that overlap: one under the other, own events first
    for (const item of row.items ?? []) {
      let lane = lanes.findIndex((ends) => ends.every(([first, last]) => item.offset < first || item.onset > last));
      if (lane < 0) lane = lanes.push([]) - 1;
      lanes[lane].push([item.onset, item.offset]);
      this.block(item, track).style.top = `${3 + LANE * lane}px`;
    }
    if (lanes.length > 1) node.style.height = `${3 + LANE * lanes.length}px`;
  }

  block(item, track) {
    const kind = item.theirs ? "theirs" : item.kind ? `proposal ${item.kind}` : `own ${item.status}`;
    const node = make("button", `ev ${kind}`, track);
    node.type = "button";
    node.dataset.key = item.key;
    const who = item.theirs ? `${item.theirs}: ` : item.kind ? "proposed: " : "";
    node.setAttribute("aria-label", `${who}${nameOf(item)}, frames ${item.onset} to ${item.offset}`);
    node.setAttribute("aria-pressed", String(this.selected?.key === item.key));
    node.title = `${who}${nameOf(item)}, frames ${item.onset} – ${item.apex ?? "?"} – ${item.offset}`;
    this.span(node, item.onset, item.offset);
    const width = (item.offset - item.onset + 1) * this.scale;
    if (width > 34) make("span", "ev-code", node, item.au === null ? "?" : codeOf(item));
    if (item.apex !== null) {
      const apex = make("i", "apex-mark", node);
      apex.style.left = `${(item.apex - item.onset + 0.5) * this.scale - 1}px`; // border of the block
    }
    if (this.selected?.key === item.key && !item.theirs) {
      for (const point of POINTS) {
        if (item[point] === null) continue;
        const handle = make("i", `handle ${point}`, node);
        handle.dataset.point = point;
        const at = { onset: 0, apex: item.apex - item.onset + 0.5, offset: item.offset - item.onset + 1 }[point];
        handle.style.left = `${at * this.scale}px`;
      }
    }
    return node;
  }

  curve(curve, track) {
    const { step } = this.curves;
    const bins = curve.left.length;
    const top = Math.max(1, ...curve.left, ...curve.right);
    const svg = shape("svg", { viewBox: `0 0 ${bins} 100`, preserveAspectRatio: "none", class: "curve" }, track);
    svg.style.width = `${bins * step * this.scale}px`;
    for (const [first, last] of curve.unsure) {
      shape("rect", { x: first / step, width: (last - first + 1) / step, y: 0, height: 100, class: "unsure" }, svg);
    }
    const y = (value) => 97 - (94 * value) / top;
    shape("rect", { x: 0, width: bins, y: y(curve.floor), height: 100 - y(curve.floor), class: "floor" }, svg);
    for (const side of ["left", "right"]) {
      const points = curve[side].map((value, i) => `${i + 0.5},${y(value).toFixed(1)}`).join(" ");
      shape("polyline", { points, class: side, "vector-effect": "non-scaling-stroke" }, svg);
    }
  }

  place(frame) {
    if (!this.clip) return;
    this.clip.index = frame;
    this.head.style.left = `${this.x(frame)}px`;
    if (this.zoom > 1 && !this.drag) {
      const at = this.x(frame) - this.scroll.scrollLeft;
      if (at < this.labels + 10 || at > this.scroll.clientWidth - 10) {
        this.scroll.scrollLeft = this.x(frame) - this.scroll.clientWidth / 2;
      }
    }
  }

  press(event) {
    if (event.button !== 0) return;
    const handle = event.target.closest(".handle");
    const block = event.target.closest(".ev");
    const all = [...this.items.events, ...this.items.proposals, ...this.items.theirs];
    const item = block ? all.find((one) => one.key === block.dataset.key) : null;
    if (handle) {
      event.preventDefault();
      this.dragPoint(item, handle.dataset.point, event);
    } else if (item) {
      this.actions.select(item);
    } else if (event.clientX - this.body.getBoundingClientRect().left > this.labels) {
      this.dragHead(event);
    }
  }

  follow(event, move, done) {
    this.drag = true;
    const id = event.pointerId;
    const onMove = (one) => one.pointerId === id && move(this.frameAt(one.clientX));
    const onEnd = (one) => {
      if (one.pointerId !== id) return;
      for (const [name, call] of calls) window.removeEventListener(name, call);
      this.drag = null;
      done?.(one.type === "pointerup");
    };
    const calls = [["pointermove", onMove], ["pointerup", onEnd], ["pointercancel", onEnd]];
    for (const [name, call] of calls) window.addEventListener(name, call);
  }

  dragHead(event) {
    this.actions.seek(this.frameAt(event.clientX));
    this.follow(event, (frame) => this.actions.seek(frame));
  }

  // The block follows the pointer, and the picture with it; the event changes once, when it is let go.
  dragPoint(item, point, event) {
    let fields = null;
    this.follow(event, (frame) => {
      fields = moved(item, point, frame);
      this.actions.seek(frame);
      const node = this.body.querySelector(`[data-key="${CSS.escape(item.key)}"]`);
      if (node) this.span(node, fields.onset, fields.offset);
    }, (whole) => {
      if (whole && fields) this.actions.edit(item, fields);
      else this.layout();
    });
  }
}
