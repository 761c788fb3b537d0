/* Pages opened from a disk may not start web workers, which the search runs in. There, a worker is a hidden frame. */
if (location.protocol === "file:")
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc =
        "<script>postMessage = data => parent.postFromFrame(frameElement, data)</script>" +
        `<script src="${url}"></script>`;
      this.frame.answer = data => this.dispatchEvent(new MessageEvent("message", { data }));
      this.frame.addEventListener("load", () => {
        this.ready = true;
        this.waiting.splice(0).forEach(data => this.postMessage(data));
      });
      window.postFromFrame = (frame, data) => frame.answer(data);
      document.body.append(this.frame);
    }
    postMessage(data) {
      if (this.ready) this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
      else this.waiting.push(data);
    }
    terminate() {
      this.frame.remove();
    }
  };
