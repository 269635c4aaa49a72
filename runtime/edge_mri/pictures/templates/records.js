"use strict";
// The table of records and the summary above it. `records` may grow: `refresh` shows what came.
// `enlarge`, where it is given, is called with a record whose picture was chosen.
const recordsTable = (about, records, enlarge = null) => {
  const by = (id) => document.getElementById(id);
  const PER_PAGE = 50;
  const STATUS = { error: "failed", rejected: "rejected", ok: "answered" };
  const WHY = { foreign: "no brain MR slice", unfamiliar: "unlike the images it learned from", undecided: "too close to call" };
  const ORDER = ["error", "rejected", "ok"];
  const words = (name) => (name ?? "").replaceAll("_", " ");
  const percent = (p) => `${(100 * p).toFixed(1)} %`;
  const probability = (record) => record.types?.[about.types.indexOf(record.type)] ?? null;
  const planeProbability = (record) => record.planes?.[about.planes.indexOf(record.plane)] ?? null;
  const name = (path) => path.slice(path.lastIndexOf("/") + 1);
  const folder = (path) => path.slice(0, path.lastIndexOf("/") + 1);
  const view = { status: "", type: "", plane: "", find: "", column: null, down: false, page: 0 };

  function make(tag, options = {}, ...children) {
    const { style, ...values } = options;
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(values)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined) element.setAttribute(key, value);
    }
    Object.assign(element.style, style);
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  // The columns: what a header says, what it sorts by, and what a cell shows.
  const columns = [
    { title: "Image", cell: pictureCell },
    { title: "File", key: (r) => `${name(r.path).toLowerCase()}\0${r.path.toLowerCase()}\0${String(r.frame ?? 0).padStart(6, "0")}`, cell: fileCell },
    { title: "Status", key: (r) => ORDER.indexOf(r.status), cell: statusCell },
    { title: "Type", key: (r) => (r.type ? about.types.indexOf(r.type) - (probability(r) ?? 0) / 2 : null), cell: typeCell },
    ...(about.present === null ? [] : [{ title: `P(${about.present})`, key: (r) => r.tumor ?? null, cell: (r) => number(r.tumor, 3), first: "down" }]),
    ...(about.planes.length ? [{ title: "Plane", key: (r) => (r.plane ? about.planes.indexOf(r.plane) - (planeProbability(r) ?? 0) / 2 : null), cell: planeCell }] : []),
    ...(about.novelty || records.some((r) => typeof r.novelty === "number") ? [{ title: "Novelty", key: (r) => r.novelty ?? null, cell: (r) => number(r.novelty, 2), first: "down" }] : []),
  ];

  function number(value, digits) {
    return make("td", { class: "number" }, typeof value === "number" ? value.toFixed(digits) : "–");
  }

  function pictureCell(record) {
    if (!record.pictures) return make("td", {}, make("div", { class: "blank" }, record.status === "error" ? "no image" : "no picture"));
    const frame = picture(record);
    if (!enlarge) return make("td", {}, frame);
    const label = `Enlarge ${name(record.path)}${record.frame ? `, slice ${record.frame}` : ""}`;
    return make("td", {}, make("button", { type: "button", class: "enlarge", "aria-label": label, onclick: () => enlarge(record, frame) }, frame));
  }

  function picture(record) {
    const shown = record.pictures;
    const frame = make("div", { class: "picture", style: { width: `${6 * Math.min(1, shown.size[0] / shown.size[1])}rem` } },
      make("img", { src: "data:image/jpeg;base64," + shown.thumbnail, alt: `Slice ${name(record.path)}`, loading: "lazy" }));
    if (shown.heat) frame.append(make("img", { class: "heat", src: "data:image/png;base64," + shown.heat, alt: "" }));
    if (record.box) {
      const [x, y, width, height] = record.box, [w, h] = shown.size;
      frame.append(make("div", { class: "box", title: "suspected location: an explanation, not evidence",
        style: { left: `${100 * x / w}%`, top: `${100 * y / h}%`, width: `${100 * width / w}%`, height: `${100 * height / h}%` } }));
    }
    return frame;
  }

  function fileCell(record) {
    const why = record.status === "error" ? record.why : record.reason || WHY[record.why];
    return make("td", { class: "file" }, make("b", {}, name(record.path) + (record.frame ? `, slice ${record.frame}` : "")), make("span", { class: "folder" }, folder(record.path)),
      why ? make("span", { class: `why ${record.status}` }, why) : null);
  }

  function statusCell(record) {
    const text = STATUS[record.status] + (record.status === "rejected" ? `: ${record.why}` : "");
    return make("td", {}, make("span", { class: `badge ${record.status}` }, text));
  }

  function share(p) {
    return make("span", { class: "share" }, make("i", {}, make("i", { style: { width: `${100 * p}%` } })), percent(p));
  }

  function typeCell(record) {
    if (!record.type) return make("td", { class: "answer" }, "–");
    const all = about.types.map((type, k) => `${words(type)} ${percent(record.types[k])}`).join(", ");
    const said = record.status === "rejected" ? make("span", { class: "doubted" }, `would say ${words(record.type)}`) : make("b", {}, words(record.type));
    return make("td", { class: "answer", title: all }, said, share(probability(record)));
  }

  function planeCell(record) {
    if (!record.plane) return make("td", {}, "–");
    return make("td", {}, words(record.plane), " ", make("span", { class: "mute" }, percent(planeProbability(record))));
  }

  function matches(record) {
    return (!view.status || record.status === view.status) && (!view.type || record.type === view.type) &&
      (!view.plane || record.plane === view.plane) && (!view.find || record.path.toLowerCase().includes(view.find));
  }

  function sorted(found) {
    const column = view.column;
    if (!column) return found;
    const sign = view.down ? -1 : 1;
    const keyed = found.map((record) => [column.key(record), record]);
    keyed.sort(([a, one], [b, other]) => {
      if (a === null || b === null) return (a === null) - (b === null) || one.position - other.position; // last, either way
      return (a < b ? -sign : a > b ? sign : 0) || one.position - other.position;
    });
    return keyed.map(([, record]) => record);
  }

  function draw() {
    const found = sorted(records.filter(matches));
    const pages = Math.max(Math.ceil(found.length / PER_PAGE), 1);
    view.page = Math.min(Math.max(view.page, 0), pages - 1);
    const start = view.page * PER_PAGE;
    const shown = found.slice(start, start + PER_PAGE);
    by("rows").replaceChildren(...shown.map((record) => make("tr", { class: record.status }, ...columns.map((column) => {
      const cell = column.cell(record);
      cell.dataset.title = column.title;
      return cell;
    }))));
    if (!shown.length) by("rows").append(make("tr", {}, make("td", { class: "none", colspan: columns.length }, "No image matches.")));
    by("count").textContent = shown.length ? `${(start + 1).toLocaleString("en")} to ${(start + shown.length).toLocaleString("en")} of ${found.length.toLocaleString("en")} images` : "0 images";
    by("page").textContent = `page ${view.page + 1} of ${pages}`;
    by("before").disabled = view.page === 0;
    by("after").disabled = view.page === pages - 1;
    for (const column of columns) {
      if (column === view.column) column.head.setAttribute("aria-sort", view.down ? "descending" : "ascending");
      else column.head?.removeAttribute("aria-sort");
    }
    for (const button of by("statuses").children) button.setAttribute("aria-pressed", String(button.dataset.status === view.status));
  }

  function change(values) {
    Object.assign(view, { page: 0 }, values);
    draw();
  }

  function sortBy(column) {
    const down = view.column === column ? !view.down : column.first === "down";
    change({ column, down });
  }

  function tile(kind, count, label, note) {
    return make("div", { class: `tile ${kind}` }, make("b", {}, (count ?? 0).toLocaleString("en")), label, note ? make("small", {}, ` (${note})`) : null);
  }

  function summary() {
    const counts = about.counts;
    by("tiles").replaceChildren(tile("", counts.all, "images"), tile("good", counts.ok, "answered"),
      tile(counts.rejected ? "warn" : "", counts.rejected, "rejected", counts.rejected ? Object.keys(WHY).map((why) => `${why} ${counts[why] ?? 0}`).join(", ") : ""),
      tile(counts.error ? "bad" : "", counts.error, "failed"));
    const found = about.types.map((type, k) => [type, counts[type] ?? 0, `var(--c${k % 6})`]).filter(([, count]) => count);
    by("mix").replaceChildren();
    if (!found.length) return;
    by("mix").append(
      make("div", { class: "stack", role: "img", "aria-label": "Share of each type among the answers" },
        ...found.map(([, count, colour]) => make("span", { style: { flex: String(count), background: colour } }))),
      make("ul", { class: "keys" }, ...found.map(([type, count, colour]) => make("li", {},
        make("span", { class: "dot", style: { background: colour } }), `${words(type)} ${count.toLocaleString("en")} (${percent(count / counts.ok)})`))));
  }

  function volumes() {
    by("volumes").hidden = !about.volumes.length;
    for (const one of about.volumes) {
      const slice = !one.answered ? "\u2013" : one.peak_frame === null ? name(one.peak_path) : `slice ${one.peak_frame}`;
      by("volumeRows").append(make("tr", {},
        make("td", {}, make("button", { type: "button", class: "link", onclick: () => showOnly(one.path) }, (name(one.path) || one.path) + (one.volume === null ? "" : `#${one.volume}`)), make("span", { class: "folder" }, folder(one.path))),
        make("td", {}, one.type === null ? "\u2013" : make("b", {}, words(one.type))),
        ...[one.slices, one.answered, one.tumor_slices].map((count) => make("td", { class: "number" }, count.toLocaleString("en"))),
        make("td", { class: "number" }, one.neighbours === null ? "\u2013" : one.neighbours_tumor_probability.toFixed(3)),
        ...[one.rejected, one.errors].map((count) => make("td", { class: "number" }, count.toLocaleString("en"))),
        make("td", {}, slice)));
    }
  }

  function showOnly(path) {
    by("find").value = path;
    by("find").scrollIntoView({ block: "start" });
    change({ find: path.toLowerCase(), status: "", type: "", plane: "" });
    by("type").value = by("plane").value = "";
  }

  function statuses() {
    for (const button of by("statuses").children) {
      const [label, count] = { "": ["All", about.counts.all], error: ["Failed", about.counts.error], rejected: ["Rejected", about.counts.rejected], ok: ["Answered", about.counts.ok] }[button.dataset.status];
      button.textContent = `${label} ${(count ?? 0).toLocaleString("en")}`;
    }
  }

  function refresh() {
    summary();
    statuses();
    draw();
  }

  function controls() {
    for (const status of ["", "error", "rejected", "ok"]) {
      by("statuses").append(make("button", { type: "button", "data-status": status, onclick: () => change({ status }) }));
    }
    for (const [id, names] of [["type", about.types], ["plane", about.planes]]) {
      by(id).append(make("option", { value: "" }, "all"), ...names.map((one) => make("option", { value: one }, words(one))));
      by(id).addEventListener("change", (event) => change({ [id]: event.target.value }));
      by(id).parentElement.hidden = !names.length;
    }
    by("find").addEventListener("input", (event) => change({ find: event.target.value.toLowerCase() }));
    by("heat").addEventListener("change", (event) => by("rows").classList.toggle("plain", !event.target.checked));
    by("heatSwitch").hidden = by("legend").hidden = !about.scale;
    by("scale").textContent = about.scale ?? "";
    by("before").addEventListener("click", () => change({ page: view.page - 1 }));
    by("after").addEventListener("click", () => change({ page: view.page + 1 }));
    for (const column of columns) {
      column.head = make("th", { scope: "col" }, column.key ? make("button", { type: "button", onclick: () => sortBy(column) }, column.title) : column.title);
      by("heads").append(column.head);
    }
  }

  if (about.volumes) volumes();
  controls();
  refresh();
  return { refresh, make, words, picture };
};
