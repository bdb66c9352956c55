// The picture: what was held and in flight over the last minutes.

class Chart {
    samples = [];

    // `continues`: this page has watched without a break since the sample before.
    add(at, { held, in_flight: flight, state }, continues) {
        const last = continues ? this.samples.at(-1) : undefined;
        if (last) last.until = at;
        const run = last?.run ?? at;
        const band = state === last?.state ? last.band : at;
        this.samples.push({ at, until: at, held, flight, state, run, band });
        this.samples = this.samples.filter((sample) => sample.at >= at - chartSpans.at(-1));
    }

    draw(svg) {
        const { at: now, held, flight } = this.samples.at(-1);
        const most = (key) => Math.max(...this.samples.map((sample) => sample[key]));
        const greatest = Math.max(10, most('held'), most('flight'));
        const step = 10 ** Math.floor(Math.log10(greatest));
        const top = [1, 2, 5, 10].map((factor) => factor * step).find((value) => value >= greatest);
        const span = chartSpans.find((span) => span >= now - this.samples[0].at);
        const x = (at) => (300 * (1 - (now - at) / span)).toFixed(1);
        const y = (value) => (98 - (94 * value) / top).toFixed(1);

        const grouped = (samples, key) => [...Map.groupBy(samples, (sample) => sample[key]).values()];
        const line = (run, key) => run.map((sample) => `${x(sample.at)} ${y(sample[key])}`).join('L');
        const area = (run) => `M${x(run[0].at)} 98L${line(run, 'held')}V98Z`;
        const band = (run) => `M${x(run[0].at)} 0H${x(run.at(-1).until)}V98H${x(run[0].at)}Z`;
        const set = (path, parts) => find(path, svg).setAttribute('d', parts.join(''));

        const runs = grouped(this.samples, 'run');
        set('.fill', runs.map(area));
        for (const key of ['held', 'flight']) set(`.${key}`, runs.map((run) => `M${line(run, key)}`));
        for (const state of ['paused', 'draining', 'stopped', 'away']) {
            set(`.${state}`, grouped(this.samples.filter((sample) => sample.state === state), 'band').map(band));
        }
        const past = duration(span / 1000);
        svg.ariaLabel = `Over the last ${past}: held ${count(held)} now, at most ${count(most('held'))}; `
            + `in flight ${count(flight)} now, at most ${count(most('flight'))}.`;
        return { top: count(top), from: `${past} ago` };
    }
}
