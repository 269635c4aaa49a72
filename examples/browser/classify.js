// Runs a model of edge-mri by its contract: what docs/contract.md says, and nothing else.
// No image leaves the browser. For research, not for diagnosis.

// The contract: `metadata_props` (field 14) of the ModelProto, the entry `edge_mri.contract`.
export function contractOf(bytes) {
  for (const [field, entry] of fieldsOf(bytes)) {
    if (field !== 14) continue;
    const pair = Object.fromEntries(fieldsOf(entry));
    const text = (part) => new TextDecoder().decode(part);
    if (text(pair[1]) === "edge_mri.contract") return JSON.parse(text(pair[2]));
  }
  throw new Error("no contract in the file; expected a model that edge-mri export wrote");
}

function* fieldsOf(bytes) {
  let at = 0;
  const number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = number();
    const kind = tag & 7;
    if (kind === 0) number();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else {
      const length = number();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    }
  }
}

// Grey pixels of an image file, `{ pixels: Uint8Array, width, height }`.
export async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(width * height);
  for (let i = 0; i < pixels.length; i++) {
    pixels[i] = Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  }
  return { pixels, width, height };
}

// Halve by averages while the longer side stays at `size` or more, then bilinear, then black borders.
export function preprocess({ pixels, width, height }, size) {
  const longer = Math.max(width, height);
  let shrink = 1;
  while (Math.floor(longer / (2 * shrink)) >= size) shrink *= 2;
  let image = { pixels, width, height };
  if (shrink > 1) {
    const halved = (side) => Math.max(Math.floor(side / shrink), 1);
    image = resize(image, halved(width), halved(height), area);
  }
  const fitted = (side) => Math.max(halfToEven((side * size) / longer), 1);
  image = resize(image, fitted(width), fitted(height), linear);
  const canvas = new Uint8Array(size * size);
  const left = Math.floor((size - image.width) / 2);
  const top = Math.floor((size - image.height) / 2);
  for (let y = 0; y < image.height; y++) {
    const row = image.pixels.subarray(y * image.width, (y + 1) * image.width);
    canvas.set(row, (top + y) * size + left);
  }
  return canvas;
}

function halfToEven(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 === 1 ? up - 1 : up;
}

// For each output pixel of one axis: which input pixels, with which weights.
function area(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const [start, end] = [i * scale, (i + 1) * scale];
    const taps = [];
    for (let j = Math.floor(start); j < Math.min(Math.ceil(end), from); j++) {
      taps.push([j, (Math.min(end, j + 1) - Math.max(start, j)) / scale]);
    }
    return taps;
  });
}

function linear(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const at = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    const low = Math.floor(at);
    return [[low, 1 - (at - low)], [Math.min(low + 1, from - 1), at - low]];
  });
}

function resize({ pixels, width, height }, toWidth, toHeight, taps) {
  if (width === toWidth && height === toHeight) return { pixels, width, height };
  const [across, down] = [taps(width, toWidth), taps(height, toHeight)];
  const rows = new Float64Array(toWidth * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < toWidth; x++) {
      for (const [j, weight] of across[x]) rows[y * toWidth + x] += weight * pixels[y * width + j];
    }
  }
  const out = new Uint8Array(toWidth * toHeight);
  for (let y = 0; y < toHeight; y++) {
    for (let x = 0; x < toWidth; x++) {
      let sum = 0;
      for (const [j, weight] of down[y]) sum += weight * rows[j * toWidth + x];
      out[y * toWidth + x] = Math.round(sum);
    }
  }
  return { pixels: out, width: toWidth, height: toHeight };
}

// From outputs to a record: temperature, softmax, sums over planes and types, operating point, rejection.
// `novelty` and `foreign` are numbers, or null where the model has no such output.
export function decide(logits, novelty, foreign, contract) {
  const { types, planes } = contract.labels;
  const absent = "absent" in contract.labels ? contract.labels.absent : "no_tumor";
  const highest = Math.max(...logits);
  const raised = Array.from(logits, (one) => Math.exp((one - highest) / contract.temperature));
  const total = raised.reduce((sum, one) => sum + one, 0);
  const views = Math.max(planes.length, 1);
  const byType = Object.fromEntries(types.map((name) => [name, 0]));
  const byPlane = Object.fromEntries(planes.map((name) => [name, 0]));
  raised.forEach((one, i) => {
    byType[types[Math.floor(i / views)]] += one / total;
    if (planes.length) byPlane[planes[i % views]] += one / total;
  });
  const best = (table, names) => names.reduce((a, b) => (table[b] > table[a] ? b : a));
  const present = types.includes(absent) ? 1 - byType[absent] : null;
  const others = types.filter((name) => name !== absent);
  let type = best(byType, types);
  if (present !== null) type = present >= contract.tumor_threshold ? best(byType, others) : absent;
  let rejected = null;
  if (contract.rejection) {
    const { undecided: [low, high], max_novelty, max_foreign = null, above } = contract.rejection;
    const novel = above ?? (max_foreign === null ? "foreign" : "unfamiliar");
    if (present !== null && low < high && present >= low && present <= high) rejected = "undecided";
    if (novelty !== null && novelty > max_novelty) rejected = novel;
    if (foreign !== null && max_foreign !== null && foreign > max_foreign) rejected = "foreign";
  }
  const plane = planes.length ? best(byPlane, planes) : null;
  return { status: rejected ? "rejected" : "ok", rejected, type, plane, present, byType, byPlane };
}

// One file to one record. `ort` is onnxruntime-web.
export async function classify(ort, session, contract, blob) {
  const { size } = contract.preprocess;
  const input = preprocess(await decode(blob), size);
  const name = session.inputNames[0];
  const wanted = session.outputNames.filter((one) => ["logits", "novelty", "foreign"].includes(one));
  const out = await session.run({ [name]: new ort.Tensor("uint8", input, [1, 1, size, size]) }, wanted);
  const number = (one) => (out[one] ? out[one].data[0] : null);
  return decide(out.logits.data, number("novelty"), number("foreign"), contract);
}
