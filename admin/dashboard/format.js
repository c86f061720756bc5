// Figures as people read them. Pure: no DOM, no clock. What the server does not say is `unknown`.

const unknown = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const twoDigits = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });

function isNumber(value) {
    return typeof value === "number" && Number.isFinite(value);
}

/** About three digits, whatever the size. */
function figure(value) {
    const size = Math.abs(value);
    return (size < 10 ? twoDigits : size < 100 ? oneDigit : whole).format(value);
}

function countText(value) {
    return isNumber(value) ? whole.format(value) : unknown;
}

/** `limit` 0 means that there is none. */
function ofLimit(value, limit) {
    return isNumber(limit) && limit > 0 ? `${countText(value)} / ${whole.format(limit)}`
        : countText(value);
}

function rateText(perSecond) {
    if (!isNumber(perSecond)) return unknown;
    return (Math.abs(perSecond) < 10 ? oneDigit : whole).format(perSecond);
}

function bytesText(bytes) {
    if (!isNumber(bytes)) return unknown;
    const units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let unit = 0;
    let value = bytes;
    while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
        value /= 1000;
        unit += 1;
    }
    return `${unit === 0 ? whole.format(value) : figure(value)} ${units[unit]}`;
}

function bytesRateText(perSecond) {
    return isNumber(perSecond) ? `${bytesText(perSecond)}/s` : unknown;
}

function millisecondsText(value) {
    if (!isNumber(value)) return unknown;
    return value < 1000 ? `${figure(value)} ms` : `${figure(value / 1000)} s`;
}

/** Milliseconds without their unit, for columns that have it in their heading. */
function plainMilliseconds(value) {
    return isNumber(value) ? figure(value) : unknown;
}

function durationText(seconds) {
    if (!isNumber(seconds)) return unknown;
    const total = Math.max(0, Math.floor(seconds));
    const parts = [[Math.floor(total / 86400), "d"], [Math.floor(total / 3600) % 24, "h"],
        [Math.floor(total / 60) % 60, "min"], [total % 60, "s"]];
    const first = parts.findIndex(([amount]) => amount > 0);
    if (first < 0) return "0 s";
    return parts.slice(first, first + 2).filter(([amount]) => amount > 0)
        .map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

/** What is left of a pause: never 0 s while it lasts. */
function secondsLeft(seconds) {
    return durationText(Math.max(1, Math.ceil(seconds)));
}

function percentText(share) {
    if (!isNumber(share)) return unknown;
    return `${(share > 0 && share < 0.1 ? oneDigit : whole).format(share * 100)} %`;
}

function pad(number) {
    return String(number).padStart(2, "0");
}

/** Local time of day; with the date if that is not `today`'s. */
function clockText(date, today) {
    if (Number.isNaN(date.getTime())) return unknown;
    const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
    if (date.toDateString() === today.toDateString()) return time;
    return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${time}`;
}

/** The words of the API, as words: half_open is half-open, connect_failed connect failed. */
function words(text) {
    return String(text).replace("half_open", "half-open").replaceAll("_", " ");
}

function plural(amount, one, many) {
    return `${countText(amount)} ${amount === 1 ? one : many}`;
}
