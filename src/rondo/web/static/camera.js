// A photo from the camera: in the page where the browser lets it, else by the telephone's own camera.
import { byId } from "./page.js";

export function startCamera(send, tell) {
  const video = byId("camera-view");
  let stream = null;

  function off() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = video.srcObject = null;
    video.hidden = byId("camera-buttons").hidden = true;
    byId("sources").hidden = false;
  }

  byId("camera").addEventListener("click", async () => {
    tell("");
    if (!navigator.mediaDevices) return byId("capture").click(); // not on a page without https
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    } catch (error) {
      return tell(error.name === "NotFoundError"
        ? "This device has no camera that the browser can use."
        : "The browser does not let this page use the camera; allow it in the address bar.");
    }
    video.srcObject = stream;
    await video.play();
    video.hidden = byId("camera-buttons").hidden = false;
    byId("sources").hidden = true;
  });
  byId("camera-off").addEventListener("click", off);
  byId("shoot").addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    off();
    canvas.toBlob(send, "image/jpeg", 0.95);
  });
  addEventListener("hashchange", off);
}
