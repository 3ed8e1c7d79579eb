// Shows frames on a canvas: single steps, play at any speed, loop, flicker of onset and apex, zoom, magnified change.

export const SPEEDS = [1, 0.5, 0.25, 0.125];
export const ZOOMS = [1, 2, 3.5];
export const FACTORS = [1, 4, 10];
const FLICKER_MS = 400;

export class Player {
  constructor(canvas, onFrame) {
    this.canvas = canvas;
    this.onFrame = onFrame;
    this.film = null;
    this.index = 0;
    this.mode = "still"; // still, play, loop, flicker
    this.range = null;
    this.speed = 1;
    this.zoom = 1;
    this.factor = 1; // times by which the change against the reference frame is drawn larger
    this.reference = null;
    this.centre = [0.5, 0.5];
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    this.listenToPan();
  }

  open(film, fps) {
    this.stop();
    delete this.canvas.dataset.shown;
    Object.assign(this, { film, fps, index: 0, shown: null, centre: [0.5, 0.5] });
    return this.seek(0);
  }

  async seek(index) {
    if (!this.film) return;
    this.index = Math.max(0, Math.min(this.film.count - 1, Math.round(index)));
    const wanted = this.index;
    this.onFrame(wanted);
    this.canvas.dataset.waiting = wanted; // what is seen is still another frame: it is dimmed
    const bitmap = await this.film.picture(wanted);
    if (wanted !== this.index) return;
    this.shown = bitmap;
    await this.draw();
    delete this.canvas.dataset.waiting;
    this.canvas.dataset.shown = wanted;
    this.film.ahead(wanted);
  }

  step(frames) {
    this.stop();
    return this.seek(this.index + frames);
  }

  play() {
    if (this.mode === "play") return this.stop();
    this.run("play", [this.index >= this.film.count - 1 ? 0 : this.index, this.film.count - 1]);
  }

  loop(first, last) {
    if (this.mode === "loop") return this.stop();
    this.run("loop", [first, Math.max(last, first + 1)]);
  }

  flicker(onset, apex) {
    if (this.mode === "flicker") return this.stop();
    this.stop();
    this.mode = "flicker";
    let at = 0;
    const turn = () => {
      if (this.mode !== "flicker") return;
      this.seek([onset, apex][at++ % 2]);
      this.timer = setTimeout(turn, FLICKER_MS);
    };
    turn();
    this.onFrame(this.index);
  }

  run(mode, range) {
    this.stop();
    this.mode = mode;
    const [first, last] = range;
    let began = performance.now();
    let from = mode === "loop" ? first : range[0];
    let busy = false;
    const tick = async (now) => {
      if (this.mode !== mode) return;
      let target = from + Math.floor(((now - began) / 1000) * this.fps * this.speed);
      if (target > last) {
        if (mode === "play") {
          await this.seek(last);
          return this.stop();
        }
        [began, from, target] = [now, first, first];
      }
      if (!busy && target !== this.index) {
        busy = true;
        const asked = performance.now();
        await this.seek(target).catch(() => this.stop());
        const waited = performance.now() - asked;
        if (waited > 150) began += waited; // the picture had to be fetched: time stands still meanwhile
        busy = false;
      }
      this.timer = requestAnimationFrame(tick);
    };
    this.seek(from);
    this.timer = requestAnimationFrame(tick);
  }

  stop() {
    cancelAnimationFrame(this.timer);
    clearTimeout(this.timer);
    const was = this.mode;
    this.mode = "still";
    if (was !== "still") this.onFrame(this.index);
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.mode === "play" || this.mode === "loop") {
      const range = this.mode === "loop" ? this.range : null;
      if (this.mode === "play") { this.stop(); this.play(); } else if (range) this.loop(...range);
    }
  }

  zoomTo(zoom, centre = this.centre) {
    this.zoom = Math.max(1, Math.min(8, zoom));
    this.centre = this.zoom === 1 ? [0.5, 0.5] : centre;
    return this.draw();
  }

  // Scale and place of the picture on the canvas.
  place() {
    const { width, height } = this.canvas;
    const scale = Math.min(width / this.shown.width, height / this.shown.height) * this.zoom;
    const [w, h] = [this.shown.width * scale, this.shown.height * scale];
    const fit = (size, whole, centre) =>
      whole <= size ? (size - whole) / 2 : Math.min(0, Math.max(size - whole, size / 2 - centre * whole));
    return { scale, x: fit(width, w, this.centre[0]), y: fit(height, h, this.centre[1]), w, h };
  }

  async draw() {
    if (!this.shown) return;
    const ratio = window.devicePixelRatio || 1;
    const box = this.canvas.parentElement.getBoundingClientRect();
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
    }
    let picture = this.shown;
    if (this.factor > 1 && this.reference !== null && this.reference < this.film.count) {
      const base = await this.film.picture(this.reference);
      if (picture === this.shown) picture = magnified(base, picture, this.factor);
    }
    const { x, y, w, h } = this.place();
    const context = this.canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.clearRect(0, 0, width, height);
    context.drawImage(picture, x, y, w, h);
  }

  listenToPan() {
    let from = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.zoom === 1 || !this.shown) return;
      from = [event.clientX, event.clientY, ...this.centre];
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const { w, h } = this.place();
      const ratio = window.devicePixelRatio || 1;
      const clamp = (value) => Math.max(0, Math.min(1, value));
      this.centre = [
        clamp(from[2] - ((event.clientX - from[0]) * ratio) / w),
        clamp(from[3] - ((event.clientY - from[1]) * ratio) / h),
      ];
      this.draw();
    });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => { from = null; });
    this.canvas.addEventListener("wheel", (event) => {
      if (!this.shown) return;
      event.preventDefault();
      const box = this.canvas.getBoundingClientRect();
      const ratio = window.devicePixelRatio || 1;
      const { x, y, w, h } = this.place();
      const at = [((event.clientX - box.left) * ratio - x) / w, ((event.clientY - box.top) * ratio - y) / h];
      this.zoomTo(this.zoom * Math.exp(-event.deltaY / 400), at);
    }, { passive: false });
  }
}

// The change of a frame against another one, drawn larger: base + factor x (frame - base).
function magnified(base, frame, factor) {
  const [width, height] = [frame.width, frame.height];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(base, 0, 0);
  const first = context.getImageData(0, 0, width, height).data;
  context.drawImage(frame, 0, 0);
  const second = context.getImageData(0, 0, width, height);
  const data = second.data;
  for (let i = 0; i < data.length; i++) {
    if (i % 4 !== 3) data[i] = first[i] + factor * (data[i] - first[i]);
  }
  context.putImageData(second, 0, 0);
  return canvas;
}
