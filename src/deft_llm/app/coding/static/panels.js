// What stands beside the player: the chosen event, all events and proposals, comparison with another coder, files.

import { INTENSITIES, SIDES, codeOf, freeNote, nameOf, proposalOf } from "./events.js";

const POINTS = ["onset", "apex", "offset"];
const STATUS = {
  coded: "coded", accepted: "accepted from deft", corrected: "corrected from deft", rejected: "rejected",
};
const KIND = {
  stated: "deft states it", unsure: "deft is unsure", refused: "deft refused it", unnamed: "no AU can be told",
};
const UPPER = new Set([1, 2, 4, 5, 6, 7, 41, 42, 43, 44, 45, 46, 61, 62, 63, 64, 65, 66, 70, 71]);

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "className") node.className = value;
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const button = (text, onclick, props = {}) => h("button", { type: "button", onclick, ...props }, text);

const SHAPE = 1.5; // width over height of the pictures of onset and apex

// The part of the face that an AU moves, in pixels of the frame; the whole frame without a face.
export function cropOf(page, au, frame) {
  const { clip } = page;
  const boxes = clip.found?.curves.box ?? [];
  const box = boxes[Math.floor(frame / (clip.found?.curves.step ?? 1))];
  if (!box) return [0, 0, clip.width, clip.height];
  let [left, top, right, bottom] = box;
  const [width, height] = [right - left, bottom - top];
  if (UPPER.has(au)) bottom -= 0.42 * height;
  else if (au !== null && au !== 9) top += 0.42 * height;
  left += 0.12 * width;
  right -= 0.12 * width;
  const grow = ((right - left) / SHAPE - (bottom - top)) / 2; // to the shape of the pictures
  if (grow > 0) [top, bottom] = [top - grow, bottom + grow];
  else [left, right] = [left + grow * SHAPE, right - grow * SHAPE];
  const [w, hh] = [Math.min(right - left, clip.width), Math.min(bottom - top, clip.height)];
  const inside = (at, whole, part) => Math.max(0, Math.min(at, whole - part));
  return [inside(left, clip.width, w), inside(top, clip.height, hh), w, hh];
}

// A picture of the face at a frame, cut out by the browser; it is kept nowhere.
function thumb(page, item, frame, label) {
  const canvas = h("canvas", { width: 264, height: 264 / SHAPE, role: "img", "aria-label": `${label}, frame ${frame}` });
  const box = cropOf(page, item.au, item.onset);
  page.film?.picture(frame).then((bitmap) => {
    const context = canvas.getContext("2d");
    const scale = Math.min(canvas.width / box[2], canvas.height / box[3]);
    const [w, hh] = [box[2] * scale, box[3] * scale];
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, ...box, (canvas.width - w) / 2, (canvas.height - hh) / 2, w, hh);
  }, () => {});
  return h("figure", {}, canvas, h("figcaption", {}, label, h("b", {}, ` ${frame}`)));
}

const pair = (page, item) => h("div", { className: "pair" },
  thumb(page, item, item.onset, "onset"),
  item.apex !== null ? thumb(page, item, item.apex, "apex") : thumb(page, item, item.offset, "offset"));

function choice(label, options, value, onchoose, words = {}) {
  return h("div", { className: "choice", role: "group", "aria-label": label },
    h("span", { className: "soft" }, label),
    h("span", { className: "group" }, options.map((option) => button(words[option] ?? option ?? "–", () => onchoose(option), {
      "aria-pressed": String(option === value), "data-value": option ?? "none",
    }))));
}

function pointRow(page, item, point) {
  const frame = item[point];
  const input = h("input", {
    inputmode: "numeric", value: frame ?? "", "aria-label": `${point} frame`, "data-point": point, autocomplete: "off",
    onchange: () => {
      const text = input.value.trim();
      if (text === "" && point === "apex") return page.setPoint(item, point, null);
      if (!/^\d+$/.test(text) || Number(text) >= page.clip.frames) {
        input.value = frame ?? "";
        return page.say(`Frames go from 0 to ${page.clip.frames - 1}.`);
      }
      return page.setPoint(item, point, Number(text));
    },
  });
  const key = { onset: "I", apex: "P", offset: "O" }[point];
  return h("tr", {}, h("th", { scope: "row" }, point), h("td", {}, input),
    h("td", { className: "soft" }, frame === null ? "" : `${page.time(frame).toFixed(3)} s`),
    h("td", {}, button("go", () => page.seek(frame), { disabled: frame === null, className: "quiet" }),
      button("set here", () => page.setPoint(item, point, page.frame), { className: "quiet", title: `${key}` })));
}

export function eventPanel(page) {
  const item = page.selected;
  if (!item) return [emptyPanel(page)];
  if (item.kind) return proposalPanel(page, item);
  if (item.theirs) return [h("h3", {}, `${codeOf(item)} of ${item.theirs}`), pair(page, item)];
  const code = h("input", {
    value: item.au, inputmode: "numeric", "aria-label": "Action Unit", size: 3, id: "au-input", autocomplete: "off",
    onchange: () => {
      if (Number(code.value) in page.names) page.edit(item, { au: Number(code.value) });
      else {
        page.say(`${code.value} is no code of FACS.`);
        code.value = item.au;
      }
    },
  });
  return [
    h("div", { className: "event-head" }, h("h3", {}, "AU", code), h("span", {}, page.names[item.au] ?? ""),
      h("span", { className: `badge ${item.status}` }, STATUS[item.status])),
    pair(page, item),
    h("table", { className: "points" }, h("tbody", {}, POINTS.map((point) => pointRow(page, item, point)))),
    choice("Side (the person's own)", SIDES, item.side, (side) => page.edit(item, { side }), { asymmetric: "asym." }),
    choice("Intensity", [null, ...INTENSITIES], item.intensity, (intensity) => page.edit(item, { intensity })),
    choice("Phase", ["rise", "release"], item.phase, (phase) => page.edit(item, { phase })),
    h("label", { className: "wide" }, h("span", { className: "soft" }, "Note"), h("input", {
      value: freeNote(item), maxlength: 300, autocomplete: "off", id: "note", onchange: (event) => page.note(item, event.target.value),
    })),
    h("div", { className: "row" },
      button("Delete", () => page.remove(item), { className: "quiet danger", title: "Delete" }),
      proposalOf(item) ? h("span", { className: "soft" }, `from proposal ${proposalOf(item)}`) : null),
    ...explanation(page, page.list.proposals.find((one) => one.id === proposalOf(item))),
  ];
}

function emptyPanel(page) {
  const open = page.list.open.filter((one) => one.kind === "stated" || one.kind === "unsure").length;
  const what = page.clip?.hidden
    ? "Blind: what deft proposes is kept back until you have coded this clip."
    : open ? `${open} proposal${open > 1 ? "s" : ""} to decide on. J goes to the first.`
      : page.clip?.found ? (page.list.proposals.length ? "No proposal is left to decide on." : "deft has read this clip and proposes nothing.") : "deft has not read this clip.";
  return h("div", { className: "empty" }, h("p", {}, what),
    h("p", { className: "soft" }, "Step to the onset, press N, type the AU, Enter. Then P at the apex, O at the offset."),
    page.clip?.found && !page.list.proposals.length ? page.clip.found.notes.map((note) => h("p", { className: "notice" }, note)) : null,
    !page.clip?.hidden && page.clip && !page.clip.found
      ? button(page.clip.job ? "deft is reading it …" : "Propose for this clip", () => page.propose([page.clip.clip]), {
        className: "go", id: "propose", disabled: Boolean(page.clip.job && page.clip.job.state !== "failed"),
      }) : null,
    page.clip?.job?.state === "failed" ? h("p", { className: "fault" }, page.clip.job.text) : null);
}

function confidence(item) {
  if (item.confidence === null) return null;
  const share = Math.round(100 * item.confidence);
  return h("span", { className: "sure", title: "deft's confidence: it orders statements, it is no share of right ones" },
    h("i", { style: `width:${share}%` }), h("b", {}, `${share} %`));
}

function proposalPanel(page, item) {
  return [
    h("div", { className: "event-head" }, h("h3", {}, item.au === null ? "Movement" : `AU${item.au} ${item.side}`),
      h("span", {}, item.au === null ? "" : page.names[item.au]), h("span", { className: `badge ${item.kind}` }, KIND[item.kind])),
    pair(page, item),
    h("p", { className: "soft" }, confidence(item), `${item.phase}, frames ${item.onset} – ${item.apex} – ${item.offset}`,
      item.offset_seen ? "" : " (its end is not seen)"),
    item.reason ? h("p", { className: "notice" }, item.reason) : null,
    h("div", { className: "row" },
      item.au === null
        ? button("Name it …", () => page.nameIt(item), { className: "go", title: "Enter" })
        : button("Accept", () => page.accept(item), { className: "go", id: "accept", title: "Enter" }),
      button(item.au === null ? "Put aside" : "Reject", () => page.reject(item), { className: "quiet danger", id: "reject", title: "X" })),
    h("p", { className: "soft" }, "To correct it, drag its ends on the timeline, press I, P or O at the right frame, or change it here:"),
    h("table", { className: "points" }, h("tbody", {}, POINTS.map((point) => pointRow(page, item, point)))),
    item.au === null ? null
      : choice("Side (the person's own)", SIDES, item.side, (side) => page.edit(item, { side }), { asymmetric: "asym." }),
    ...explanation(page, item),
  ];
}

// What deft says of the movement that an event or a proposal belongs to, and questions about it.
function explanation(page, proposal) {
  const movement = page.clip?.found?.movements.find((one) => one.rank === proposal?.movement);
  if (!movement) return [];
  const figures = movement.evidence.filter((row) => row.au === proposal.au);
  const rows = (figures.length ? figures : movement.evidence).slice(0, 4);
  return [h("details", { className: "why", open: true },
    h("summary", {}, `Movement ${movement.rank}: ${movement.kind}`, movement.label ? `, coders would say ${movement.label}` : ""),
    rows.length ? h("table", { className: "evidence" },
      h("thead", {}, h("tr", {}, ["AU", "region", "direction", "px", "% IOD", "z"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((row) => [h("tr", { className: row.mark ? "marked" : "" }, [
        row.au ?? "–", `${row.side === "both" ? "" : `${row.side} `}${row.region}`, row.direction, row.px?.toFixed(2) ?? "–",
        row.iod_percent?.toFixed(1) ?? "–", row.z?.toFixed(0) ?? "–",
      ].map((cell) => h("td", {}, String(cell)))),
      row.mark ? h("tr", {}, h("td", { className: "mark", colspan: 6 }, row.mark)) : null]))) : null,
    movement.answer ? h("p", { className: "answer" }, movement.answer) : null,
    movement.contradicted.map((text) => h("p", { className: "notice" }, text)),
    movement.cannot_judge.map((text) => h("p", { className: "notice" }, `Cannot be judged: ${text}`)),
    page.clip.found.kept ? askForm(page, movement) : null)];
}

// An answer's lines, each a paragraph, with its **bold** and *soft* words.
function paragraphs(answer) {
  const words = (part) => (part.startsWith("**") ? h("b", {}, part.slice(2, -2))
    : part.startsWith("*") ? h("span", { className: "soft" }, part.slice(1, -1)) : part);
  const lines = answer.split("\n").filter((line) => line.trim());
  return lines.map((line) => h("p", {}, line.split(/(\*\*[^*]+\*\*|\*[^*]+\*)/).filter(Boolean).map(words)));
}

function askForm(page, movement) {
  const said = h("div", { className: "said", "aria-live": "polite" },
    (page.asked[movement.rank] ?? []).map(([question, answer]) => [h("p", { className: "q" }, question), ...paragraphs(answer)]));
  const input = h("input", { placeholder: "Did the left brow move?", maxlength: 300, "aria-label": "Question about this movement", autocomplete: "off" });
  return h("form", { className: "ask", onsubmit: (event) => {
    event.preventDefault();
    page.ask(movement, input.value);
  } }, said, h("div", { className: "row" }, input, h("button", { className: "quiet" }, "Ask")));
}

export function listPanel(page) {
  const order = (a, b) => a.onset - b.onset || (a.au ?? 0) - (b.au ?? 0);
  const rejected = page.list.events.filter((event) => event.status === "rejected");
  const groups = [
    ["Yours", page.items.events, "Nothing coded yet."],
    ["deft proposes", page.items.proposals.filter((one) => one.kind === "stated" || one.kind === "unsure"), null],
    ["Refused and unnamed", page.items.proposals.filter((one) => one.kind === "refused" || one.kind === "unnamed"), null],
  ];
  return [
    ...groups.filter(([, found, none]) => found.length || none).map(([title, found, none]) => h("section", {},
      h("h3", {}, title, h("b", { className: "count" }, found.length)),
      found.length ? h("ol", { className: "items" }, [...found].sort(order).map((item) => card(page, item))) : h("p", { className: "soft" }, none))),
    rejected.length ? h("details", {}, h("summary", {}, `Rejected (${rejected.length})`),
      h("ol", { className: "items" }, rejected.sort(order).map((event) => h("li", {},
        h("span", { className: "item-code" }, codeOf(event)), h("span", {}, `frame ${event.onset}`),
        button("bring back", () => page.bringBack(event), { className: "quiet" }))))) : null,
  ];
}

function card(page, item) {
  const chosen = page.selected?.key === item.key;
  return h("li", { className: chosen ? "chosen" : "" },
    h("button", { type: "button", className: "item", "data-key": item.key, "aria-pressed": String(chosen), onclick: () => page.select(item) },
      h("span", { className: `item-code ${item.kind ?? item.status}` }, codeOf(item)),
      h("span", {}, page.names[item.au] ?? "movement", h("small", { className: "soft" }, `${item.onset} – ${item.apex ?? "?"} – ${item.offset}`,
        item.reason && item.kind ? ` · ${item.reason}` : "")),
      item.kind ? confidence(item) : null));
}

export function comparePanel(page) {
  const others = [...page.folder.coders.filter((name) => name !== page.coder), "deft"];
  const pick = h("select", { id: "other", "aria-label": "Compare with", onchange: () => page.compareWith(pick.value) },
    h("option", { value: "" }, "choose …"), others.map((name) => h("option", { value: name, selected: name === page.compare?.other }, name)));
  const found = page.compare;
  const parts = [
    h("p", { className: "soft" }, "Events match per AU and side where their onsets lie within 0.2 s. Your first round was kept as it was: "
      + "report reliability from that; what you change here is the second round."),
    h("label", { className: "wide" }, h("span", { className: "soft" }, "Compare with"), pick),
  ];
  if (!found) return parts;
  if (found.error) return [...parts, h("p", { className: "notice" }, found.error)];
  const figures = found.figures;
  if (figures) {
    const percent = (value) => (value === null ? "–" : value.toFixed(2));
    parts.push(h("p", { className: "figures" }, h("b", {}, percent(figures.agreement.onset)), " agreement by onsets, ",
      h("b", {}, percent(figures.agreement.iou)), ` by intervals (${figures.events.first} and ${figures.events.second} events)`));
  }
  parts.push(found.disagreements.length
    ? h("ol", { className: "items disputes" }, found.disagreements.map((row, i) => dispute(page, row, i)))
    : h("p", { className: "notice good" }, "Nothing is left on which you differ."));
  return parts;
}

function dispute(page, row, i) {
  const mine = row.coded_by === "first";
  const item = mine ? page.items.events.find((one) => ["au", "side", "phase", "onset", "offset"].every((key) => one[key] === row[key]))
    : [...page.items.theirs, ...page.items.proposals].find((one) => one.row === i
      || (one.kind && ["au", "side", "phase", "onset", "offset"].every((key) => one[key] === row[key])));
  return h("li", { className: page.selected && item?.key === page.selected.key ? "chosen" : "" },
    h("button", { type: "button", className: "item", "data-dispute": i, onclick: () => (item ? page.select(item) : page.seek(row.onset)) },
      h("span", { className: `item-code ${mine ? "coded" : "theirs"}` }, codeOf(row.event)),
      h("span", {}, mine ? "only you" : `only ${page.compare.other}`, h("small", { className: "soft" }, `${row.time.toFixed(2)} s, frames ${row.onset} – ${row.offset}`))),
    mine ? button("withdraw", () => item && page.remove(item), { className: "quiet danger", disabled: !item })
      : button("adopt", () => page.adopt(row.event), { className: "quiet" }));
}

export function filesPanel(page) {
  const file = h("input", { type: "file", id: "import", accept: ".csv,.eaf,.boris,.TextGrid,.textgrid,.json", onchange: () => page.importFile(file.files[0]) });
  return [
    h("section", {}, h("h3", {}, "Take it with you"),
      h("div", { className: "chips" }, page.folder.formats.map((name) => h("a", {
        className: "chip", href: page.exportAddress(name), "data-format": name, download: "",
      }, { csv: "CSV", elan: "ELAN", boris: "BORIS", textgrid: "Praat TextGrid", datavyu: "Datavyu" }[name] ?? name)))),
    h("section", {}, h("h3", {}, "Bring events in"), file,
      h("p", { className: "soft" }, "A coding of this clip: CSV, ELAN, BORIS, TextGrid, Datavyu. It takes the place of your events; undo brings them back.")),
    h("section", {}, h("h3", {}, "Where it is"), h("p", { className: "soft" },
      "Saved as you go in ", h("code", {}, `codings/${page.coder}/${page.clip?.clip ?? "CLIP"}.csv`),
      "; the first round in ", h("code", {}, `codings/${page.coder}-first-round/`), ". The clip itself is only read.")),
    page.clip?.found?.notes.length ? h("section", {}, h("h3", {}, "About this recording"), page.clip.found.notes.map((note) => h("p", { className: "soft" }, note))) : null,
  ];
}
