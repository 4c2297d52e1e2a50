// Scans a position's or a machine's label with the phone's camera, where the browser can read codes.
const button = document.querySelector("[data-scan]");
const view = document.querySelector("[data-scan-view]");

function where(text) {
  // The labels' addresses hold ?p=HALL-RACK-SLOT or ?m=MACHINE; nothing else of a code is used.
  const found = /[?&]([pm])=(\d{1,10}(?:-\d{1,5}-\d{1,5})?)(?:&|$)/.exec(text);
  return found ? `/fleet/onboarding/walk/?${found[1]}=${found[2]}` : "";
}

async function scan() {
  const detector = new BarcodeDetector({ formats: ["qr_code"] });
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  view.hidden = false;
  view.srcObject = stream;
  await view.play();
  const end = () => stream.getTracks().forEach((track) => track.stop());
  window.addEventListener("pagehide", end, { once: true });
  const look = async () => {
    for (const code of await detector.detect(view)) {
      const target = where(code.rawValue);
      if (target) {
        end();
        location.assign(target);
        return;
      }
    }
    requestAnimationFrame(look);
  };
  await look();
}

if (button && "BarcodeDetector" in window && navigator.mediaDevices) {
  button.hidden = false;
  button.addEventListener("click", () => scan().catch(() => { button.hidden = true; view.hidden = true; }));
}
