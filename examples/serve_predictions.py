"""Answer uploaded photos with predictions as JSON, from the model that ships.

    pip install fastapi python-multipart uvicorn
    uvicorn serve_predictions:app --app-dir examples --limit-concurrency 20
    curl -F photo=@photo.jpg http://127.0.0.1:8000/predict

It listens on this machine alone and asks nobody who they are: what opens it to a network has to do that.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI, UploadFile

import landmarkfer as lf

MAX_BYTES = 10 * 2**20  # of a request; a longer one is answered with status 413 and not read to its end
THREADS = 2  # photos predicted at a time; each thread holds a detector, and the pixels of a photo

# FastAPI's own pages would load scripts from the web.
app = FastAPI(title="landmarkfer", docs_url=None, redoc_url=None, max_body_size=MAX_BYTES)
model = lf.load()
threads = ThreadPoolExecutor(THREADS)


def rows(data: bytes) -> list[dict[str, object]]:
    """A row for each face; one that says why where there is no face, or the photo cannot be read."""
    return model.predict(data).to_dict()


@app.post("/predict")
async def predict(photo: UploadFile) -> list[dict[str, object]]:
    """The rows of an uploaded photo, which is kept nowhere."""
    return await asyncio.get_running_loop().run_in_executor(threads, rows, await photo.read())
