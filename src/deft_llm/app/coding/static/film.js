// Frames of a clip: fetched as JPEGs in chunks, decoded around the one that is shown.

import { bytes } from "./api.js";

const CHUNK = 16;
const MOST_BYTES = 160e6;
const MOST_BITMAPS = 48;

export class Film {
  constructor(clip, count) {
    Object.assign(this, { clip, count, closed: false });
    this.chunks = new Map(); // number -> Promise of Blobs
    this.size = 0;
    this.bitmaps = new Map(); // index -> Promise of ImageBitmap, in order of use
  }

  chunk(number) {
    let found = this.chunks.get(number);
    if (found) {
      this.chunks.delete(number); // to the end: used last
      this.chunks.set(number, found);
      return found;
    }
    found = this.load(number).catch((error) => {
      this.chunks.delete(number);
      throw error;
    });
    this.chunks.set(number, found);
    return found;
  }

  async load(number) {
    const data = await bytes("frames", { clip: this.clip, start: number * CHUNK, count: CHUNK });
    const view = new DataView(data);
    const blobs = [];
    for (let at = 0; at < data.byteLength;) {
      const length = view.getUint32(at, true);
      blobs.push(new Blob([data.slice(at + 4, at + 4 + length)], { type: "image/jpeg" }));
      at += 4 + length;
    }
    this.size += data.byteLength;
    for (const old of this.chunks.keys()) {
      if (this.size <= MOST_BYTES || old === number) break;
      this.chunks.delete(old);
      this.size -= data.byteLength;
    }
    return blobs;
  }

  // The picture of a frame; the ones after it are made ready.
  picture(index) {
    let found = this.bitmaps.get(index);
    if (found) {
      this.bitmaps.delete(index);
    } else {
      found = this.chunk(Math.floor(index / CHUNK)).then((blobs) => createImageBitmap(blobs[index % CHUNK]));
      found.then((bitmap) => { found.ready = bitmap; }, () => this.bitmaps.delete(index));
    }
    this.bitmaps.set(index, found);
    for (const old of this.bitmaps.keys()) {
      if (this.bitmaps.size <= MOST_BITMAPS) break;
      this.bitmaps.get(old).then((bitmap) => bitmap.close(), () => {});
      this.bitmaps.delete(old);
    }
    return found;
  }

  ahead(index, frames = 6) {
    for (let i = index + 1; i <= Math.min(index + frames, this.count - 1); i++) this.picture(i).catch(() => {});
    const next = Math.floor(index / CHUNK) + 1;
    if (next * CHUNK < this.count) this.chunk(next).catch(() => {});
  }
}
