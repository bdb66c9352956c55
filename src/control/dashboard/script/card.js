// One app.

class Card {
    chart = new Chart();

    constructor(startsOpen) {
        this.node = find('#card').content.firstElementChild.cloneNode(true);
        this.fields = {};
        for (const node of this.node.querySelectorAll('[data-field]')) this.fields[node.dataset.field] = node;
        for (const verb of verbs) this.fields[verb].addEventListener('click', () => ask(verb, this));
        this.fields.more.open = startsOpen;
    }

    show(app, now, continues) {
        const { fields } = this;
        const before = this.app;
        this.app = app;
        this.shownAt = now;
        this.follow(before);
        this.chart.add(now, app, continues);
        this.node.dataset.state = app.state;
        const drain = app.last_drain;
        const values = {
            name: nameOf(app),
            state: app.state,
            reason: app.reason ?? '',
            held: count(app.held),
            flight: count(app.in_flight),
            upgraded: app.upgraded ? `+ ${count(app.upgraded)} upgraded` : '',
            abandoned: app.abandoned ? `+ ${count(app.abandoned)} given up in the last minute` : '',
            room: count(app.room),
            drain: drain ? `Last drain, ${time(new Date(drain.ended))}: ${drained(drain)}.` : 'No drain yet.',
            ...this.chart.draw(fields.chart),
        };
        for (const [name, text] of Object.entries(values)) write(fields[name], text);
        for (const node of fields.totals.querySelectorAll('dd')) write(node, count(app.totals[node.dataset.total] ?? 0));
        this.showOldest();
        this.showButtons();
        this.tick(now);
    }

    // What changes with the clock alone.
    tick(now) {
        const { app, fields } = this;
        const since = app.since && new Date(app.since);
        const age = since ? `since ${time(since)} (${duration(Math.max(0, now - since) / 1000)})` : 'never paused';
        const parts = [doing(app), age, app.by && `by ${app.by}`, ...terms(app, now)];
        write(fields.cause, parts.filter(Boolean).join(' · '));
        fields.cause.classList.toggle('bad', app.state === 'paused' && app.expired_to_app > 0);
        const waited = app.oldest_held_seconds + (now - this.shownAt) / 1000;
        write(fields.oldest, app.held ? duration(waited, 1) : '–');
        const left = app.until && Math.max(0, Math.ceil((new Date(app.until) - now) / 1000));
        const none = ['paused', 'stopped'].includes(app.state) ? 'no end' : '–';
        write(fields.lease, app.until ? duration(left) : none);
        fields.lease.classList.toggle('soon', left !== null && left <= 10);
    }

    // Which requests keep the app from being quiet.
    showOldest() {
        const oldest = this.app.state === 'open' ? [] : this.app.oldest_in_flight;
        const lines = oldest.map((one) => [`${one.method} ${one.uri}`, `from ${one.client}`, duration(one.seconds, 1),
            `waits for ${waitsFor[one.waits_for]}`].join(' · '));
        this.fields.flying.hidden = !lines.length;
        const list = this.fields.oldestFlight;
        while (list.children.length > lines.length) list.lastChild.remove();
        lines.forEach((line, index) => write(list.children[index] ?? list.appendChild(element('li')), line));
    }

    showButtons() {
        const { enable, disable, stop } = this.fields;
        const focused = document.activeElement;
        for (const verb of verbs) {
            const button = this.fields[verb];
            const action = actions[verb][this.app.state];
            button.hidden = !action;
            if (!action) continue;
            button.ariaLabel = `${action[0]} ${nameOf(this.app)}${action[1]}`;
            write(button, `${action[0]}…`);
        }
        if ([disable, stop].includes(focused) && focused.hidden) enable.focus();
    }

    // Says what happened since the poll before. What a pause cost counts from its first sight.
    follow(before) {
        const { app } = this;
        const anew = before && beganAnew(app, before);
        if (anew) {
            this.start = null;
            record(app, 'Its counters started again: nginx was restarted, or has a new zone.');
        } else if (before?.state === 'open') {
            this.start = { totals: before.totals, whole: true };
        }
        this.start ??= { totals: app.totals, whole: false };
        // A released request may fail long after its pause: what was said then is not all.
        if (anew || app.state !== 'open' || app.pause !== before?.pause) {
            this.ended = null;
        } else if (this.ended && app.totals.failed > before.totals.failed) {
            this.say(verdict(app, this.ended.before, this.ended.start));
        }
        if (!before || asSet(before) === asSet(app)) return;
        if (before.state !== app.state && app.state === 'open') {
            this.ended = anew ? null : { before, start: this.start };
            this.say(anew ? 'Open. What the pause cost is not known: the counters started again.' : verdict(app, before, this.start));
        } else if (asSet(app) !== this.told) {
            if (before.state !== app.state) this.fields.note.hidden = true;
            record(app, before.state === app.state ? changes(app, before) : arrival(app));
        }
        this.told = null;
    }

    say(text) {
        this.fields.note.hidden = false;
        write(this.fields.note, text);
        record(this.app, text);
    }
}
