"""The page of `rondo web`: a photo, any cell, and a training to watch.

| file | goes in → comes out |
|---|---|
| `pixels.py` | the bytes of a photo → its pixels, read in a process of its own |
| `photo.py` | the pixels of a photo → the answer, the saliency and the sweeps |
| `cells.py` | the name of a cell → its drawings and its kernel |
| `live.py` | what to train → a training that tells how it goes, piece by piece |
| `requests.py` | what the browser sent → checked values |
| `uploads.py` | the body of a request → bytes, within limits |
| `line.py` | what is to be computed → its result, one at a time |
| `threads.py` | functions → threads that are there before the first request |
| `connection.py` | a client that may be slow or gone → a connection that ends |
| `app.py` | requests → responses |
| `serve.py` | an address → a server |
| `static/` | what the browser runs |

The server is Starlette on uvicorn, and the page is plain: no framework in the browser, no script
and no font from elsewhere. A photo goes from the request to the decoder as bytes in memory; a
general toolkit for such pages would write it to a folder first.
"""
