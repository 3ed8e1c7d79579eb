// The coding page: one clip, one coder, its events; keys, saving, and what follows what.

import { exportAddress, get, send } from "./api.js";
import { EventList, moved, nameOf, parseCodes } from "./events.js";
import { Film } from "./film.js";
import { comparePanel, cropOf, eventPanel, filesPanel, h, listPanel } from "./panels.js";
import { FACTORS, Player, SPEEDS, ZOOMS } from "./player.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const SAVE_MS = 400;
const POLL_MS = 1500;
const ENTRY_HELP = "As FACS writes it: side, AU, intensity. N comes here, ? shows all keys.";
const KEYS = [
  ["← →", "one frame (Shift: ten)"], ["Home End", "first, last frame"], ["Space", "play, stop"],
  ["1 2 3 4", "speed 1, ½, ¼, ⅛"], ["L, Shift+L", "loop onset to apex, to offset"], ["F", "flicker onset and apex"],
  ["Z", "zoom"], ["M", "magnify the change since the onset"], ["N", "add an event: type the AU, Enter"],
  ["I P O", "onset, apex, offset at this frame"], ["J K", "next, previous event or proposal"],
  ["Enter", "accept the proposal"], ["X or Delete", "reject or delete"], ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"],
  ["+ −", "timeline closer, wider"], ["[ ]", "previous, next clip"], ["Esc", "let go of the event"],
];

class Page {
  constructor() {
    this.coder = "";
    this.folder = null;
    this.clip = null;
    this.film = null;
    this.compare = null;
    this.key = null; // of the chosen item
    this.tab = "event";
    this.asked = {};
    this.together = [];
    this.naming = null; // the unnamed movement for which the next entry is
    this.turn = 0;
    this.actions = 0;
    this.dirty = false;
    this.saving = null;
    this.list = new EventList(() => this.changed());
    this.player = new Player($("picture"), (frame) => this.frameShown(frame));
    this.timeline = new Timeline($("timeline"), {
      seek: (frame) => { this.player.stop(); this.seek(frame); },
      select: (item) => this.select(item),
      edit: (item, fields) => this.edit(item, fields),
      add: (au, side, frame) => this.add([{ au, side, onset: frame, offset: frame }]),
    });
  }

  // ---- beginning

  async start() {
    this.listen();
    this.folder = await get("folder");
    document.title = `${this.folder.folder} – coding – deft-llm`;
    const asked = new URLSearchParams(location.hash.slice(1));
    this.coder = asked.get("coder") || this.folder.coder || this.remembered();
    if (!this.coder) await this.askWho();
    await this.refresh();
    $("coder").textContent = this.coder;
    await this.follow(asked);
    if (!this.turn) await this.open(this.folder.clips[0].clip);
  }

  remembered() {
    const name = localStorage.getItem("deft-coder") ?? "";
    return this.folder.coders.includes(name) ? name : "";
  }

  async follow(asked) {
    const clip = asked.get("clip");
    if (clip) {
      const known = this.folder.clips.map((one) => one.clip);
      const exact = known.includes(clip) ? [clip] : known.filter((one) => `/${one}`.endsWith(`/${clip}`) || `/${clip}`.endsWith(`/${one}`));
      if (exact.length !== 1) return this.say(`${clip} is not in this folder.`);
      if (this.clip?.clip !== exact[0]) await this.open(exact[0]);
      if (this.clip?.clip !== exact[0]) return; // the coder has gone elsewhere meanwhile
    }
    const there = this.clip;
    if (asked.get("with")) await this.compareWith(asked.get("with"));
    if (this.clip === there && /^\d+$/.test(asked.get("frame") ?? "")) await this.seek(Number(asked.get("frame")));
  }

  async askWho() {
    const dialog = $("who-dialog");
    $("known-coders").replaceChildren(...this.folder.coders.map((name) => h("button", {
      className: "chip", value: name, onclick: () => { $("coder-name").value = name; },
    }, name)));
    for (;;) {
      dialog.showModal();
      $("coder-name").focus();
      await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
      const name = $("coder-name").value.trim();
      try {
        await get("folder", { coder: name || "?" });
        this.coder = name;
        localStorage.setItem("deft-coder", name);
        return;
      } catch (error) {
        if (this.coder && !name) return;
        $("coder-fault").textContent = error.message;
      }
    }
  }

  async changeCoder() {
    await this.flush();
    if (this.dirty) return;
    await this.askWho();
    $("coder").textContent = this.coder;
    const at = this.clip?.clip;
    await this.refresh();
    if (at) await this.open(at);
  }

  async refresh() {
    this.folder = await get("folder", this.coder ? { coder: this.coder } : {});
    this.names = this.folder.aus;
    this.showClips();
    this.poll();
  }

  poll() {
    clearTimeout(this.polling);
    const busy = this.folder.clips.filter((one) => one.job && one.job.state !== "failed");
    if (!busy.length) return;
    this.polling = setTimeout(async () => {
      const before = new Set(busy.map((one) => one.clip));
      try {
        await this.refresh();
      } catch { return; }
      const now = this.folder.clips.find((one) => one.clip === this.clip?.clip);
      if (now && before.has(now.clip)) {
        this.clip.job = now.job;
        if (!now.job || now.job.state === "failed") await this.loadFound();
        else if (this.tab === "event" && !this.selected) this.showPanel();
      }
    }, POLL_MS);
  }

  // deft has read the open clip meanwhile: its proposals come beside the coder's events.
  async loadFound() {
    const { clip } = this;
    const answer = await get("clip", { clip: clip.clip, coder: this.coder });
    if (this.clip !== clip) return;
    Object.assign(clip, { found: answer.found, hidden: answer.hidden, job: answer.job, progress: answer.progress });
    this.list.proposals = answer.found?.proposals ?? [];
    this.render();
  }

  // ---- clips

  async open(name) {
    await this.flush();
    if (this.dirty) return; // what is not saved is not left behind: the fault is shown
    const turn = ++this.turn;
    this.player.stop();
    let clip;
    try {
      clip = await get("clip", { clip: name, coder: this.coder });
    } catch (error) {
      return this.say(error.message);
    }
    if (turn !== this.turn) return; // another clip was chosen meanwhile
    Object.assign(this, { clip, key: null, compare: null, asked: {}, together: [], dirty: false });
    this.letName();
    clip.names = this.names;
    this.revision = clip.revision;
    this.list.load(clip.events, clip.found?.proposals ?? [], clip.progress.dismissed);
    this.film = new Film(name, clip.frames);
    this.timeline.open(clip);
    this.markClip();
    if (this.tab === "compare") this.tab = "event";
    this.player.reference = null;
    this.player.factor = 1;
    this.saved(clip.revision ? "saved" : "");
    this.render();
    history.replaceState(null, "", `#clip=${encodeURIComponent(name)}`);
    await this.player.open(this.film, clip.fps).catch((error) => this.say(error.message));
  }

  neighbour(step) {
    const names = this.folder.clips.map((one) => one.clip);
    const next = names[names.indexOf(this.clip.clip) + step];
    if (next) this.open(next);
  }

  time(frame) {
    return this.clip.times ? this.clip.times[frame] : frame / this.clip.fps;
  }

  get frame() {
    return this.player.index;
  }

  seek(frame) {
    return this.player.seek(frame).catch((error) => this.say(error.message));
  }

  frameShown(frame) {
    if (!this.clip) return;
    this.timeline.place(frame);
    if (document.activeElement !== $("frame")) $("frame").value = frame;
    $("time").textContent = `${this.time(frame).toFixed(3)} s`;
    $("stage-frame").textContent = `${frame}`;
    const running = this.player.mode;
    for (const name of ["play", "loop", "flicker"]) {
      document.querySelector(`[data-do="${name}"]`).setAttribute("aria-pressed", String(running === name));
    }
    const item = this.selected;
    const at = item ? ["onset", "apex", "offset"].filter((point) => item[point] === frame) : [];
    const magnified = this.player.factor > 1 ? `change ×${this.player.factor}` : "";
    $("stage-note").textContent = [item ? nameOf(item) : "", at.join(", "), magnified].filter(Boolean).join(" · ");
  }

  // ---- items: own events, open proposals, another coder's disputed events

  get items() {
    const events = this.list.shown.map((event) => ({ ...event, key: `e${event.id}` }));
    const proposals = this.clip?.hidden ? [] : this.list.open.map((one) => ({ ...one, key: `p${one.id}` }));
    const rows = this.compare?.other === "deft" ? [] : this.compare?.disagreements ?? []; // deft's are proposals
    const theirs = rows.map((row, i) => ({ ...row.event, theirs: this.compare.other, row: i, key: `t${i}`, by: row.coded_by }))
      .filter((one) => one.by === "second");
    const bands = this.clip?.found?.events ?? [];
    return { events, proposals, theirs, bands };
  }

  get selected() {
    const { events, proposals, theirs } = this.items;
    return [...events, ...proposals, ...theirs].find((item) => item.key === this.key) ?? null;
  }

  select(item, { quiet = false } = {}) {
    this.letName();
    if (item?.key !== this.key) {
      this.together = [];
      this.says(ENTRY_HELP);
    }
    this.key = item?.key ?? null;
    if (item) {
      this.player.stop();
      this.player.reference = item.onset;
      if (this.tab === "files" || (this.tab === "list" && window.innerWidth >= 1000)) this.tab = "event";
      if (!quiet) this.seek(item.onset);
    }
    this.render();
  }

  next(step) {
    const { events, proposals } = this.items;
    const open = proposals.filter((one) => one.kind === "stated" || one.kind === "unsure" || one.key === this.key);
    const all = [...open, ...events].sort((a, b) => a.onset - b.onset || (a.au ?? 0) - (b.au ?? 0));
    if (!all.length) return this.say("There is no event yet.");
    const at = all.findIndex((item) => item.key === this.key);
    const from = at < 0 ? (step > 0 ? -1 : all.length) : at;
    return this.select(all[(from + step + all.length) % all.length]);
  }

  add(list) {
    const made = this.list.add(list);
    this.together = made.map((event) => event.id); // their points are set together, until another is chosen
    this.key = `e${made[0].id}`;
    this.tab = "event";
    this.render();
    return made;
  }

  edit(item, fields) {
    if (item.theirs) return;
    if (item.kind) {
      if (item.au === null && fields.au === undefined) return this.nameIt(item, fields);
      this.key = null;
      const made = this.list.accept(this.list.proposals.find((one) => one.id === item.id), fields);
      this.key = `e${made.id}`;
      this.render();
    } else {
      this.list.change(item.id, fields);
    }
  }

  setPoint(item, point, frame) {
    if (!item) return this.say("Choose an event first, or add one with N.");
    if (!item.kind && this.together.includes(item.id)) {
      return this.list.changeAll(this.together, (event) => moved(event, point, frame));
    }
    return this.edit(item, moved(item, point, frame));
  }

  // Accepting goes on to the next proposal.
  accept(item) {
    if (item.au === null) return this.nameIt(item);
    this.decided(item, () => this.list.accept(this.list.proposals.find((one) => one.id === item.id)));
  }

  reject(item) {
    this.decided(item, () => this.list.reject(this.list.proposals.find((one) => one.id === item.id)));
  }

  decided(item, act) {
    const after = this.items.proposals.filter((one) => one.key !== item.key && one.kind !== "refused" && one.kind !== "unnamed");
    act();
    const next = after.find((one) => one.onset >= item.onset) ?? after[0];
    this.select(next ?? null);
  }

  remove(item) {
    if (item.kind) return this.reject(item);
    if (item.theirs) return;
    this.key = null;
    this.list.remove(item.id);
    this.recompare();
  }

  note(item, text) {
    this.list.setNote(item.id, text.replaceAll(";", ",").trim());
  }

  bringBack(event) {
    this.list.reopen(event);
  }

  nameIt(item, fields = {}) {
    this.naming = { ...item, ...fields };
    $("entry").focus();
    this.says(`Which AU is it, frames ${this.naming.onset} to ${this.naming.offset}?`);
  }

  // The next entry adds an event, whatever was to be named before.
  letName() {
    if (this.naming) this.says(ENTRY_HELP);
    this.naming = null;
  }

  adopt(event) {
    const same = (one) => ["au", "side", "phase", "onset", "offset"].every((key) => one[key] === event[key]);
    const proposal = this.compare.other === "deft" ? this.list.open.find(same) : null;
    if (proposal) {
      this.key = `e${this.list.accept(proposal).id}`;
    } else {
      const { status, ...fields } = event;
      this.add([{ ...fields, status: "coded", note: `second round, of ${this.compare.other}` }]);
    }
    this.tab = "compare";
    this.recompare();
  }

  enter(text) {
    const codes = parseCodes(text, this.names);
    if (!codes) return this.says(`${text || "Nothing"} is no AU. Write 12, L12C, 1+2+5B, −12.`, true);
    if (this.naming) {
      const [first, ...more] = codes;
      const { id, onset, apex, offset } = this.naming;
      const made = this.list.accept(this.list.proposals.find((one) => one.id === id), { ...first, onset, apex, offset });
      if (more.length) this.list.add(more.map((code) => ({ ...code, onset, apex, offset })));
      this.key = `e${made.id}`;
      this.naming = null;
    } else {
      this.add(codes.map((code) => ({ ...code, onset: this.frame, offset: this.frame })));
    }
    $("entry").value = "";
    $("entry").blur();
    this.tab = "event";
    const { onset, offset } = this.selected;
    this.says(`${text.toUpperCase()}: ${onset === offset ? "P marks the apex, O the offset." : `frames ${onset} to ${offset}.`}`);
    return this.render();
  }

  says(text, fault = false) {
    $("entry-says").textContent = text;
    $("entry-says").classList.toggle("fault", fault);
  }

  // ---- saving

  changed() {
    this.dirty = true;
    this.saved("saving …");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), SAVE_MS);
    this.render();
  }

  // Answers when everything is on the disk, or with the fault.
  async flush(always = false) {
    clearTimeout(this.timer);
    if (this.saving) await this.saving.catch(() => {});
    if (!this.clip || (!this.dirty && !always)) return;
    this.dirty = false;
    const actions = this.actions;
    this.actions = 0;
    const body = { clip: this.clip.clip, coder: this.coder, ...this.list.forServer(), revision: this.revision, actions };
    this.saving = send("PUT", "events", body);
    try {
      this.revision = (await this.saving).revision;
      this.saved("saved");
      this.stateOfClip();
    } catch (error) {
      this.dirty = true;
      this.actions += actions;
      this.saved(`not saved: ${error.message}`, true);
    } finally {
      this.saving = null;
    }
  }

  stateOfClip() {
    const own = this.folder.clips.find((one) => one.clip === this.clip.clip);
    if (own && (own.state === "uncoded" || own.state === "proposed")) {
      own.state = "started";
      this.showClips();
    }
  }

  saved(text, fault = false) {
    $("saved").textContent = text;
    $("saved").classList.toggle("fault", fault);
  }

  say(text) {
    this.saved(text, true);
  }

  async finish() {
    await this.flush(true);
    if (this.dirty) return;
    const finished = !this.clip.progress.finished;
    try {
      this.clip.progress = await send("POST", "finish", { clip: this.clip.clip, coder: this.coder, finished });
      await this.loadFound();
      this.revision = (await get("clip", { clip: this.clip.clip, coder: this.coder })).revision;
      await this.refresh();
    } catch (error) {
      return this.say(error.message);
    }
    return this.render();
  }

  async propose(clips) {
    await send("POST", "propose", { clips }).catch((error) => this.say(error.message));
    await this.refresh();
    this.clip.job = this.folder.clips.find((one) => one.clip === this.clip.clip)?.job ?? null;
    this.render();
  }

  // ---- two coders, files, questions

  async compareWith(other) {
    await this.flush();
    const { clip } = this;
    this.tab = "compare";
    this.key = null;
    let found = null;
    try {
      found = other ? await get("agreement", { clip: this.clip.clip, coder: this.coder, other }) : null;
    } catch (error) {
      found = { other, error: error.message };
    }
    if (this.clip !== clip) return;
    this.compare = found;
    this.render();
  }

  async recompare() {
    if (!this.compare || this.compare.error) return;
    const key = this.key;
    await this.compareWith(this.compare.other);
    this.key = key;
    this.render();
  }

  exportAddress(format) {
    return exportAddress({ clip: this.clip?.clip ?? "", coder: this.coder, format });
  }

  async importFile(file) {
    if (!file) return;
    const { clip } = this;
    try {
      const query = { clip: this.clip.clip, coder: this.coder, name: file.name };
      const { events, unread } = await send("POST", "import", new Blob([file]), { query });
      if (this.clip !== clip) return;
      this.key = null;
      this.list.replace(events);
      await this.flush();
      const rest = unread ? ` (${unread})` : "";
      this.says(`${events.length} events of ${file.name}${rest} took the place of yours; undo brings those back.`);
    } catch (error) {
      this.say(error.message);
    }
  }

  async ask(movement, question) {
    const talk = (this.asked[movement.rank] ??= []);
    try {
      const earlier = talk.map(([text]) => text);
      const body = { clip: this.clip.clip, coder: this.coder, movement: movement.rank, question, earlier };
      talk.push([question, (await send("POST", "ask", body)).answer]);
    } catch (error) {
      talk.push([question, error.message]);
    }
    this.showPanel();
  }

  // ---- showing

  render() {
    if (!this.clip) return;
    this.timeline.show(this.items, this.selected, this.clip.found?.curves);
    this.showPanel();
    this.frameShown(this.frame);
    const { finished, first_round: first } = this.clip.progress;
    $("finish").textContent = finished ? "Coded ✓  open again" : this.clip.hidden ? "Finish blind coding" : "Finish this clip";
    $("finish").title = first ? `First round kept (${first})` : "Keeps what you have coded as your first round";
    $("finish").classList.toggle("done", finished);
    $("undo").disabled = !this.list.past.length;
    $("redo").disabled = !this.list.future.length;
    $("folder").textContent = `${this.folder.folder} / ${this.clip.clip}`;
  }

  showPanel() {
    for (const node of document.querySelectorAll("[data-tab]")) {
      node.setAttribute("aria-selected", String(node.dataset.tab === this.tab));
    }
    const open = this.list.open.filter((one) => one.kind === "stated" || one.kind === "unsure").length;
    $("n-list").textContent = this.clip?.hidden || !open ? "" : open;
    const build = { event: eventPanel, list: listPanel, compare: comparePanel, files: filesPanel }[this.tab];
    const focus = document.activeElement?.closest?.("#panel") ? document.activeElement : null;
    const mark = focus && ["id", "data-point", "data-value", "data-key"].map((name) => [name, focus.getAttribute(name)]).find(([, v]) => v);
    $("panel").replaceChildren(...build(this).flat().filter(Boolean));
    if (mark) $("panel").querySelector(`[${mark[0]}="${CSS.escape(mark[1])}"]`)?.focus();
  }

  showClips() {
    const counts = {};
    for (const one of this.folder.clips) counts[one.state] = (counts[one.state] ?? 0) + 1;
    $("counts").textContent = Object.entries(counts).map(([state, count]) => `${count} ${state}`).join(", ");
    const folderOf = (name) => name.split("/").slice(0, -1).join("/");
    const heads = this.folder.clips.some((one) => folderOf(one.clip));
    $("clips").replaceChildren(...this.folder.clips.flatMap((one, i, all) => {
      const within = folderOf(one.clip);
      const first = heads && (i === 0 || folderOf(all[i - 1].clip) !== within);
      return [first ? h("li", { className: "clip-folder", title: within }, h("bdi", {}, within || this.folder.folder)) : null, this.entryFor(one)];
    }).filter(Boolean));
    this.markClip();
    $("propose-all").hidden = this.folder.clips.every((one) => one.read || (one.job && one.job.state !== "failed"));
  }

  entryFor({ clip, state, job }) {
    const says = job ? (job.state === "reading" ? `${Math.round(100 * job.share)} %` : job.state) : state;
    return h("li", {}, h("button", { type: "button", className: "clip", "data-clip": clip, title: clip, onclick: () => this.open(clip) },
      h("i", { className: `dot ${state}` }), h("span", {}, h("bdi", {}, clip.split("/").pop())), h("small", { className: "soft" }, says)));
  }

  markClip() {
    for (const entry of $("clips").querySelectorAll(".clip")) {
      if (entry.dataset.clip === this.clip?.clip) entry.setAttribute("aria-current", "true");
      else entry.removeAttribute("aria-current");
    }
    this.scrollToClip();
  }

  // The open clip's entry, when another clip was opened; the page itself stays where it is.
  scrollToClip() {
    const entry = $("clips").querySelector("[aria-current]");
    if (!entry || this.entryOf === this.clip.clip) return;
    this.entryOf = this.clip.clip;
    for (const box of [$("clips"), $("clips").parentElement]) {
      const inner = entry.getBoundingClientRect();
      const outer = box.getBoundingClientRect();
      box.scrollLeft += Math.min(0, inner.left - outer.left) || Math.max(0, inner.right - outer.right);
      box.scrollTop += Math.min(0, inner.top - outer.top) || Math.max(0, inner.bottom - outer.bottom);
    }
  }

  // ---- keys and buttons

  magnify() {
    const at = FACTORS.indexOf(this.player.factor);
    this.player.factor = FACTORS[(at + 1) % FACTORS.length];
    this.player.reference = this.selected?.onset ?? this.player.reference ?? 0;
    $("factor").textContent = this.player.factor > 1 ? `${this.player.factor}×` : "";
    this.player.draw();
    this.frameShown(this.frame);
  }

  zoom() {
    const at = ZOOMS.findIndex((zoom) => zoom > this.player.zoom + 0.01);
    const [x, y, w, hh] = cropOf(this, this.selected?.au ?? null, this.frame);
    this.player.zoomTo(at < 0 ? 1 : ZOOMS[at], [(x + w / 2) / this.clip.width, (y + hh / 2) / this.clip.height]);
    $("zoom").textContent = this.player.zoom > 1 ? `${Number(this.player.zoom.toFixed(1))}×` : "";
  }

  loop(toOffset = false) {
    const item = this.selected;
    if (!item) return this.say("Choose an event to loop.");
    return this.player.loop(item.onset, toOffset || item.apex === null ? item.offset : item.apex);
  }

  flicker() {
    const item = this.selected;
    if (!item) return this.say("Choose an event to flicker.");
    return this.player.flicker(item.onset, item.apex ?? item.offset);
  }

  speed(value) {
    this.player.setSpeed(value);
    for (const node of $("speeds").children) node.setAttribute("aria-pressed", String(Number(node.dataset.speed) === value));
  }

  press(event) {
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (command) {
      if (key === "z") return event.shiftKey ? this.list.redo() : this.list.undo();
      if (key === "y") return this.list.redo();
      return false;
    }
    if (event.altKey) return false;
    const jump = event.shiftKey ? 10 : 1;
    const item = this.selected;
    const actions = {
      ArrowLeft: () => this.player.step(-jump), ArrowRight: () => this.player.step(jump),
      Home: () => this.seek(0), End: () => this.seek(this.clip.frames - 1), " ": () => this.player.play(),
      l: () => this.loop(event.shiftKey), f: () => this.flicker(), z: () => this.zoom(), m: () => this.magnify(),
      n: () => { this.letName(); $("entry").focus(); }, i: () => this.setPoint(item, "onset", this.frame),
      p: () => this.setPoint(item, "apex", this.frame), o: () => this.setPoint(item, "offset", this.frame),
      j: () => this.next(1), k: () => this.next(-1), x: () => item && this.remove(item),
      Delete: () => item && this.remove(item), Backspace: () => item && this.remove(item),
      Escape: () => { this.player.stop(); this.select(null); },
      "+": () => this.timeline.zoomBy(1.6), "=": () => this.timeline.zoomBy(1.6), "-": () => this.timeline.zoomBy(1 / 1.6),
      "[": () => this.neighbour(-1), "]": () => this.neighbour(1), "?": () => $("help-dialog").showModal(),
    };
    if (key === "Enter" && item?.kind) actions.Enter = () => this.accept(item);
    SPEEDS.forEach((value, i) => { actions[`${i + 1}`] = () => this.speed(value); });
    if (!actions[key]) return false;
    actions[key]();
    return true;
  }

  listen() {
    // A key press, a click and a drag are an action each; a key that is held is one.
    window.addEventListener("keydown", (event) => { if (!event.repeat) this.actions += 1; }, true);
    window.addEventListener("pointerdown", () => { this.actions += 1; }, true);
    window.addEventListener("keydown", (event) => {
      if (!this.clip || document.querySelector("dialog[open]")) return;
      const field = event.target.closest("input, select, textarea");
      if (field) {
        if (event.key === "Escape") {
          this.letName();
          field.blur();
        }
        return;
      }
      const pressed = event.target.closest("button, a, summary");
      if (pressed && (event.key === "Enter" || event.key === " ") && !pressed.matches(".ev, .item, .clip")) return;
      if (this.press(event)) event.preventDefault();
    });
    const does = {
      back: () => this.player.step(-1), forth: () => this.player.step(1), play: () => this.player.play(),
      loop: (event) => this.loop(event.shiftKey), flicker: () => this.flicker(), zoom: () => this.zoom(), magnify: () => this.magnify(),
    };
    for (const node of document.querySelectorAll("[data-do]")) node.addEventListener("click", does[node.dataset.do]);
    for (const node of document.querySelectorAll("[data-tab]")) {
      node.addEventListener("click", () => { this.tab = node.dataset.tab; this.showPanel(); });
    }
    $("speeds").replaceChildren(...SPEEDS.map((value) => h("button", {
      type: "button", "data-speed": value, "aria-pressed": String(value === 1), onclick: () => this.speed(value),
    }, { 1: "1×", 0.5: "½", 0.25: "¼", 0.125: "⅛" }[value])));
    $("frame").addEventListener("change", () => {
      if (/^\d+$/.test($("frame").value)) this.seek(Number($("frame").value));
      $("frame").blur();
    });
    $("entry-form").addEventListener("submit", (event) => { event.preventDefault(); this.enter($("entry").value.trim()); });
    $("finish").addEventListener("click", () => this.finish());
    $("undo").addEventListener("click", () => this.list.undo());
    $("redo").addEventListener("click", () => this.list.redo());
    $("who").addEventListener("click", () => this.changeCoder());
    $("help").addEventListener("click", () => $("help-dialog").showModal());
    $("propose-all").addEventListener("click", () => this.propose(this.folder.clips.filter((one) => !one.read).map((one) => one.clip)));
    $("keys").replaceChildren(...KEYS.map(([keys, what]) => h("tr", {}, h("th", {}, keys), h("td", {}, what))));
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    document.body.classList.toggle("dark", dark);
    $("theme").setAttribute("aria-pressed", String(dark));
    $("theme").addEventListener("click", () => {
      $("theme").setAttribute("aria-pressed", String(document.body.classList.toggle("dark")));
    });
    window.addEventListener("hashchange", () => this.follow(new URLSearchParams(location.hash.slice(1))));
    window.addEventListener("resize", () => { this.entryOf = null; this.scrollToClip(); });
    window.addEventListener("pagehide", () => {
      if (!this.dirty || !this.clip) return;
      const body = { clip: this.clip.clip, coder: this.coder, ...this.list.forServer(), revision: this.revision, actions: this.actions };
      send("PUT", "events", body, { keepalive: true }).catch(() => {});
      this.dirty = false;
    });
  }
}

const page = new Page();
window.deftCoding = page; // for scripts that drive the page
page.start().catch((error) => page.say(error.message));
