// What lines are made of: one run's points as they come, smoothed, and looked up. Draws nothing.

const PAUSE_MILLISECONDS = 2000;

export class Run {
  constructor(address) {
    this.address = address;
    this.training = [];
    this.validation = [];
    this.marks = [];
    this.best = null;
    this.last = 0;
    this.isLive = true;
  }

  // Ask for what is new, again and again while the run lives, and tell `changed` of it.
  async follow(changed) {
    while (this.isLive) {
      if (!document.hidden && (await this.fetch())) changed();
      if (this.isLive) await new Promise((wake) => setTimeout(wake, PAUSE_MILLISECONDS));
    }
  }

  async fetch() {
    try {
      const answer = await fetch(`${this.address}?after=${this.last}`, {
        headers: { Accept: "application/json" },
      });
      if (!answer.ok) {
        this.isLive = answer.status >= 500;
        return false;
      }
      return this.take(await answer.json());
    } catch {
      return false;
    }
  }

  // A step that comes again was run again after a crash: what followed it then does not count.
  take({ training, validation, marks, best, is_live: isLive }) {
    const ended = this.isLive && !isLive;
    Object.assign(this, { marks, best, isLive });
    const again = training[0]?.step ?? Infinity;
    if (again <= this.training.at(-1)?.step) drop(this.validation, again);
    for (const [kept, fresh] of [[this.training, training], [this.validation, validation]]) {
      for (const point of fresh) {
        drop(kept, point.step);
        kept.push(point);
        this.last = Math.max(this.last, point.id);
      }
    }
    return training.length > 0 || validation.length > 0 || ended;
  }
}

function drop(points, step) {
  while (points.at(-1)?.step >= step) points.pop();
}

// A mean that forgets: what lies `reach` epochs back counts a third. Divided by the weights so far, so
// that the beginning is not drawn towards nothing.
export function smoothed(points, reach) {
  let [sum, weights, before] = [0, 0, 0];
  return points.map(({ epoch, loss }) => {
    const keep = reach > 0 ? Math.exp(-Math.max(epoch - before, 1e-9) / reach) : 0;
    sum = keep * sum + (1 - keep) * loss;
    weights = keep * weights + (1 - keep);
    before = epoch;
    return sum / weights;
  });
}

export function nearest(points, epoch) {
  let [low, high] = [0, points.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle].epoch < epoch) low = middle;
    else high = middle;
  }
  const [one, other] = [points[low], points[high]];
  return other && Math.abs(other.epoch - epoch) < Math.abs(one.epoch - epoch) ? other : one;
}

const language = document.documentElement.lang;

export function whole(number) {
  return number.toLocaleString(language, { maximumFractionDigits: 0 });
}

export function short(number) {
  return number.toLocaleString(language, { maximumSignificantDigits: 4 });
}

export function hundredths(number) {
  return number.toLocaleString(language, { maximumFractionDigits: 2 });
}

export function size(bytes) {
  return bytes >= 1 << 30 ? `${(bytes / 2 ** 30).toFixed(1)} GB` : `${whole(bytes / 2 ** 20)} MB`;
}
