;;; drive.el --- The main job in a stock Emacs: eglot alone.  -*- lexical-binding: t; -*-
;; Reads its task from the environment: AGENT_LSP_COMMAND (JSON list), AGENT_LSP_FILE, AGENT_LSP_GOAL, AGENT_LSP_REPORT.

(require 'eglot)
(require 'json)
(require 'python)

(setq eglot-sync-connect 30
      eglot-events-buffer-config '(:size 0))

(defvar drive-wanted nil "How the title begins that is chosen in the next menu.")
(defvar drive-report nil "What was seen, as an alist.")

(defun drive-tell (key value)
  (setq drive-report (append drive-report (list (cons key value)))))

(defun drive-choose (titles)
  (or (seq-find (lambda (title) (string-prefix-p drive-wanted title)) titles)
      (error "no %s among %S" drive-wanted titles)))

(defun drive-await (what seconds seen)
  (let ((until (+ (float-time) seconds)) found)
    (while (not (setq found (funcall seen)))
      (when (> (float-time) until) (error "waited %d s for %s" seconds what))
      (accept-process-output nil 0.1))
    found))

(defun drive-press (title)
  "Take the code action at point that begins with TITLE, as soon as there is one; the titles of the menu."
  (setq drive-wanted title)
  (let (titles)
    (drive-await title 120
                 (lambda ()
                   (condition-case nil
                       (cl-letf (((symbol-function 'completing-read)
                                  (lambda (_prompt menu &rest _)
                                    (setq titles (mapcar (lambda (item) (if (consp item) (car item) item)) menu))
                                    (drive-choose titles))))
                         (let ((last-nonmenu-event ?a)) (eglot-code-actions (point) nil nil t))
                         t)
                     (error nil))))
    titles))

(defun drive-main-job ()
  (find-file (getenv "AGENT_LSP_FILE"))
  (python-mode)
  (drive-tell 'recipe (vconcat (cdr (car eglot-server-programs)))) ; what docs/editors.md has put in front
  (setq-local eglot-server-programs
              (list (cons 'python-mode (append (json-parse-string (getenv "AGENT_LSP_COMMAND")) nil))))
  (apply #'eglot--connect (eglot--guess-contact))
  (goto-char (point-min))
  (insert "# agent: " (getenv "AGENT_LSP_GOAL") "\n")
  (goto-char (point-min))
  (let ((before (buffer-string)))
    (drive-tell 'before before)
    (drive-tell 'start (apply #'vector (drive-press "Agent: run")))
    (let ((shown (drive-await "the proposal" 240
                              (lambda ()
                                (seq-find (lambda (row) (string-match-p "Proposed.*proven" (flymake-diagnostic-text row)))
                                          eglot--diagnostics)))))
      (drive-tell 'diagnostic (flymake-diagnostic-text shown))
      (goto-char (flymake-diagnostic-beg shown)))
    (drive-tell 'review (apply #'vector (drive-press "Accept change")))
    (drive-await "the accepted change" 120 (lambda () (not (equal before (buffer-string)))))
    (drive-tell 'applied (buffer-string))
    (drive-press "Roll back")
    (drive-await "the rollback" 120 (lambda () (equal before (buffer-string))))
    (drive-tell 'undone (buffer-string)))
  (ignore-errors (eglot-shutdown (eglot-current-server) nil 30)))

(condition-case problem (drive-main-job)
  (error (drive-tell 'problem (format "%S" problem))))
(let ((coding-system-for-write 'binary)) ; json-serialize gives bytes
  (with-temp-file (getenv "AGENT_LSP_REPORT")
    (set-buffer-multibyte nil)
    (insert (json-serialize drive-report))))
(kill-emacs 0)
;;; drive.el ends here
