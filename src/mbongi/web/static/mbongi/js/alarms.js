// The list of alarms follows the stream; a sound for new ones only where somebody asked for it in this browser.
import * as live from "./live.js";

const KEY = "mbongi_alarm_sound";

export function start(page) {
  const list = page.querySelector("[data-alarm-list]");
  const sound = page.querySelector("[data-sound]");
  let seen = null;
  let unanswered = count();
  let waiting = 0;

  function count() { return Number(list.querySelector("[data-unanswered]")?.dataset.unanswered || 0); }

  sound.checked = localStorage.getItem(KEY) === "on";
  sound.addEventListener("change", () => {
    localStorage.setItem(KEY, sound.checked ? "on" : "off");
    if (sound.checked) beep();
  });
  live.on("site", (site) => {
    if (site.plant_event === undefined) return;
    if (seen !== null && site.plant_event !== seen) {
      clearTimeout(waiting);
      waiting = setTimeout(() => htmx.trigger(list, "refresh"), 300);
    }
    seen = site.plant_event;
  });
  document.addEventListener("htmx:after:swap", () => {
    const now = count();
    if (now > unanswered && sound.checked) beep();
    unanswered = now;
  });
}

function beep() {
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  tone.frequency.value = 660;
  volume.gain.value = 0.15;
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + 0.35);
  tone.onended = () => audio.close();
}
