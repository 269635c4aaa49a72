"use strict";
{
  const by = (id) => document.getElementById(id);
  const about = JSON.parse(by("about").textContent);
  const records = []; // rows of the table; `raw` is what the service said
  const files = []; // all that was dropped: { file, name, state }
  let waiting = []; // places in `files` that are still to be sent
  let sending = 0, answered = 0, skipped = 0, paused = false, token = "", stopper = new AbortController();
  const AT_ONCE = 3;
  const HIDDEN = /(^|\/)\./;
  const table = recordsTable(about, records, enlarge);
  const { make, words } = table;

  // What was dropped or chosen; of a folder only what looks like an image.
  async function take(found) {
    for (const { file, name, fromFolder } of found) {
      if (fromFolder && !(await counts(file, name))) { skipped += 1; continue; }
      waiting.push(files.length);
      files.push({ file, name });
    }
    by("work").hidden = by("results").hidden = false;
    by("alert").hidden = found.length > 0;
    if (!found.length) warn("There is no file in that.");
    send();
  }

  async function counts(file, name) {
    const last = name.slice(name.lastIndexOf("/") + 1).toLowerCase();
    if (HIDDEN.test(name) || last === "dicomdir") return false;
    if (about.suffixes.some((suffix) => last.endsWith(suffix))) return true;
    const suffix = last.includes(".") ? last.slice(last.lastIndexOf(".") + 1) : "";
    if (suffix && !/^[0-9]+$/.test(suffix)) return false;
    try { return (await file.slice(128, 132).text()) === "DICM"; } catch { return false; }
  }

  const chosen = (list) => [...list].map((file) => ({ file, name: file.webkitRelativePath || file.name, fromFolder: Boolean(file.webkitRelativePath) }));

  async function dropped(transfer) {
    const items = [...transfer.items].filter((item) => item.kind === "file");
    const entries = items.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]); // now: they are gone later
    const found = [];
    for (const [entry, file] of entries) {
      if (entry?.isDirectory) await walk(entry, found);
      else if (file) found.push({ file, name: file.name, fromFolder: false });
    }
    return found;
  }

  async function walk(folder, found) {
    const reader = folder.createReader();
    const entries = [];
    for (;;) {
      const some = await new Promise((done) => reader.readEntries(done, () => done([])));
      if (!some.length) break;
      entries.push(...some);
    }
    entries.sort((one, other) => (one.name < other.name ? -1 : 1));
    for (const entry of entries) {
      if (entry.isDirectory) await walk(entry, found);
      else {
        const file = await new Promise((done) => entry.file(done, () => done(null)));
        if (file) found.push({ file, name: entry.fullPath.replace(/^\//, ""), fromFolder: true });
      }
    }
  }

  // Groups of files go out, a few at a time; names do not: a file is called by its place.
  function send() {
    while (!paused && sending < AT_ONCE && waiting.length) {
      const group = [];
      let bytes = 0;
      while (waiting.length && group.length < about.group_files) {
        const { file } = files[waiting[0]];
        if (file.size > about.max_bytes) {
          fail(waiting.shift(), `image too large: ${file.size.toLocaleString("en")} bytes, the limit is ${about.max_bytes.toLocaleString("en")} bytes`);
          continue;
        }
        if (group.length && bytes + file.size > about.group_bytes) break;
        bytes += file.size;
        group.push(waiting.shift());
      }
      if (group.length) {
        sending += 1;
        ask(group).finally(() => { sending -= 1; send(); });
      }
    }
    show();
  }

  async function ask(group) {
    const form = new FormData();
    for (const place of group) form.append("files", files[place].file, String(place));
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const mine = stopper.signal;
    let answer;
    try {
      answer = await fetch("/v1/predict?pictures=1", { method: "POST", body: form, headers, signal: mine });
      if (answer.ok) return void add(group, await answer.json());
    } catch {
      if (mine.aborted) return;
      if (group.length > 1) return void (await one_by_one(group)); // a file that cannot be read spoils its form
      if (!(await readable(files[group[0]].file))) return void fail(group[0], "cannot read the file");
      return void pause(group, "The service does not answer.");
    }
    if (answer.status === 429) {
      await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After") ?? 1)));
      if (!mine.aborted) waiting.unshift(...group);
      return;
    }
    if (answer.status === 401) {
      by("tokenForm").hidden = false;
      by("token").focus();
      return void pause(group, token ? "The service does not know this token." : "The service asks for a token.");
    }
    if (answer.status === 413 && group.length > 1) return void (await one_by_one(group));
    const problem = await answer.json().catch(() => ({}));
    if (answer.status === 413) return void fail(group[0], problem.detail ?? "too large");
    pause(group, `The service refused: ${problem.detail ?? answer.status}.`);
  }

  async function one_by_one(group) {
    for (const place of group) {
      if (paused) waiting.push(place);
      else await ask([place]);
    }
  }

  const readable = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);

  function add(group, given) {
    for (const record of given) {
      const place = Number(record.path);
      record.path = files[place].name;
      keep(record, place);
    }
    answered += group.length;
  }

  function fail(place, error) {
    const record = Object.fromEntries(["path", "status", "type", "plane", "type_probabilities", "plane_probabilities", ...(about.present_key ? [about.present_key] : []), "novelty", "box", "heatmap", "rejected", "reason", "error", "frame"].map((key) => [key, null]));
    keep({ ...record, path: files[place].name, status: "error", error }, place);
    answered += 1;
  }

  function keep({ pictures = null, ...raw }, place) {
    const row = { path: raw.path, status: raw.status, position: place + (raw.frame ?? 0) / 1e6, pictures, raw };
    if (raw.frame !== null) row.frame = raw.frame;
    if (raw.status === "error") row.why = raw.error;
    else {
      Object.assign(row, { type: raw.type, plane: raw.plane, tumor: raw[about.present_key], novelty: raw.novelty, why: raw.rejected, reason: raw.reason, box: raw.box,
        types: about.types.map((name) => raw.type_probabilities[name]), planes: about.planes.map((name) => raw.plane_probabilities?.[name]) });
    }
    records.push(row);
    for (const key of ["all", raw.status, raw.status === "ok" ? raw.type : raw.rejected]) {
      if (key) about.counts[key] = (about.counts[key] ?? 0) + 1;
    }
  }

  function pause(group, why) {
    waiting.unshift(...group);
    paused = true;
    warn(why);
  }

  function warn(text) {
    by("alert").textContent = text;
    by("alert").hidden = !text;
  }

  const TELL_MS = 1500; // what is told while files come in is read aloud
  let drawing = false, told = 0;
  function show() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      records.sort((one, other) => one.position - other.position);
      table.refresh();
      const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
      const busy = sending > 0 || (waiting.length > 0 && !paused);
      by("progress").max = Math.max(files.length, 1);
      by("progress").value = answered;
      if (!busy || performance.now() - told > TELL_MS) {
        told = performance.now();
        by("told").textContent = `${answered.toLocaleString("en")} of ${count(files.length, "file")} answered${skipped ? `; ${count(skipped, "other file")} skipped` : ""}${busy ? "…" : "."}`;
      }
      by("stop").disabled = !busy;
      by("again").hidden = busy || !waiting.length;
      by("saveCsv").disabled = by("saveReport").disabled = !records.length;
      document.title = busy ? `${answered} of ${files.length} – edge-mri` : "edge-mri";
    });
  }

  function go_on() {
    paused = false;
    stopper = new AbortController();
    warn("");
    send();
  }

  function stop() {
    const seen = new Set(records.map((row) => Math.floor(row.position)));
    paused = true;
    stopper.abort();
    waiting = files.map((_, place) => place).filter((place) => !seen.has(place));
    show();
  }

  function clear() {
    stopper.abort();
    stopper = new AbortController();
    records.length = files.length = waiting.length = answered = skipped = 0;
    paused = false;
    about.counts = Object.assign(about.counts, Object.fromEntries(Object.keys(about.counts).map((key) => [key, 0])));
    warn("");
    by("work").hidden = by("results").hidden = true;
    show();
    by("chooseFiles").focus();
  }

  // One picture at a time, with the keys of the arrows too.
  let at = null;
  function enlarge(record, frame) {
    const place = (one) => records.filter((other) => other.pictures).indexOf(one);
    at = place(record);
    const [width, height] = record.pictures.size;
    const copy = frame.cloneNode(true);
    copy.style.width = `min(100%, calc(60vh * ${width / height}))`;
    const picture = make("div", { class: by("heat").checked ? "" : "plain" }, copy);
    by("largeTitle").textContent = record.path + (record.frame ? `, slice ${record.frame}` : "");
    by("largePicture").replaceChildren(picture);
    const sure = record.raw.type_probabilities?.[record.type];
    by("largeSaid").textContent = `${record.status === "rejected" ? `Rejected (${record.why}); would say ` : ""}${words(record.type)}${sure === undefined ? "" : `, ${(100 * sure).toFixed(1)} %`}.${about.present === null ? "" : ` P(${about.present}) ${record.tumor?.toFixed(3) ?? "–"}.`}${record.box ? ` Box at ${record.box[0]}, ${record.box[1]}, ${record.box[2]} x ${record.box[3]} pixels.` : ""}`;
    if (!by("large").open) by("large").showModal();
  }

  function turn(step) {
    const shown = records.filter((one) => one.pictures);
    const record = shown[(at + step + shown.length) % shown.length];
    if (record) enlarge(record, table.picture(record));
  }

  // Saving: the CSV of `infer --format csv`, and the report's own page.
  const FORMULA = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
  const QUOTED = /[,;|"\x00-\x1f\x7f-\x9f\u2028\u2029]/;
  const line = (values) => values.map((value) => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value);
    return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }).join(",") + "\n";

  function csv() {
    const lines = records.map(({ raw }) => {
      const [box_x, box_y, box_width, box_height] = raw.box ?? [];
      const shares = Object.entries({ ...raw.type_probabilities, ...raw.plane_probabilities }).map(([key, value]) => [`p_${key}`, value]);
      const values = { ...raw, box_x, box_y, box_width, box_height, ...Object.fromEntries(shares) };
      return line(about.columns.map((column) => values[column]));
    });
    save("edge-mri.csv", [line(about.columns), ...lines], "text/csv");
  }

  async function report() {
    const json = (value) => JSON.stringify(value).replaceAll("<", "\\u003c");
    const answer = await fetch("/assets/report.html").catch(() => null);
    if (!answer?.ok) return void warn("The service does not answer: the report cannot be saved.");
    const urgency = (row) => (row.status === "error" ? 0 : row.status === "rejected" ? 1 : row.tumor >= about.threshold ? 2 : 3);
    const rows = [...records].sort((one, other) => urgency(one) - urgency(other) || one.position - other.position);
    const { types, planes, counts, present, threshold, scale } = about;
    const parts = {
      title: `edge-mri report: ${records.length.toLocaleString("en")} images`,
      time: `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
      about: json({ types, planes, counts, present, threshold, scale, volumes: [] }),
      records: rows.map(({ raw, position, pictures, ...row }) => `[${json(row)},${json(pictures)}]`).join(",\n"),
    };
    const text = (await answer.text()).replace(/<!--(title|time|about|records)-->/g, (_, mark) => parts[mark]);
    save("edge-mri.html", [text], "text/html");
  }

  function save(name, parts, type) {
    const link = make("a", { href: URL.createObjectURL(new Blob(parts, { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  // Whoever drops beside the frame means it too; else the browser would leave this page.
  let over = 0;
  const lit = (change) => by("drop").classList.toggle("over", (over = Math.max(over + change, 0)) > 0);
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("dragenter", () => lit(1));
  addEventListener("dragleave", () => lit(-1));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    lit(-over);
    take(await dropped(event.dataTransfer));
  });
  for (const [button, input] of [["chooseFiles", "files"], ["chooseFolder", "folder"]]) {
    by(button).addEventListener("click", () => by(input).click());
    by(input).addEventListener("change", (event) => { take(chosen(event.target.files)); event.target.value = ""; });
  }
  by("tokenForm").addEventListener("submit", (event) => {
    event.preventDefault();
    token = by("token").value;
    by("token").value = "";
    by("tokenForm").hidden = true;
    if (waiting.length) go_on();
  });
  addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });
  for (const [id, act] of Object.entries({ stop, again: go_on, saveCsv: csv, saveReport: report, clear, previous: () => turn(-1), next: () => turn(1), close: () => by("large").close() })) {
    by(id).addEventListener("click", act);
  }
  by("large").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") turn(-1);
    if (event.key === "ArrowRight") turn(1);
  });
  by("tokenForm").hidden = !about.needs_token;
  show();
}
